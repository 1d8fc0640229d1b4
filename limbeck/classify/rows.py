"""The output of `limbeck classify`: an aligned table, JSON lines or CSV, one row for each image as soon as it is known.

    image          label            confidence  next
    photos/1.jpg   crested auklet        61.0%  least auklet 20.1%, parakeet auklet 8.0%
    photos/2.jpg   none of these                crested auklet 12.5%

The columns of the table get their widths from the paths and labels, which are known before the first row. A student of
images with several labels has all labels of an image in one cell:

    image          labels
    photos/1.jpg   cat 91.0%, dog 70.2%
    photos/2.jpg   none of these (nearest: bus 12.1%)
"""

import csv
from collections.abc import Iterable, Sequence
from typing import Literal, TextIO, get_args

from limbeck.classify.bundle import LabelThreshold, NoneOfThese
from limbeck.classify.student import Classification, LoadedStudent, ScoredLabel
from limbeck.shared.bundle.open_set import OpenSetScore
from limbeck.shared.images.file_names import json_line, shown_path

Format = Literal["table", "jsonl", "csv"]
FORMATS: tuple[Format, ...] = get_args(Format)
NONE_OF_THESE = "none of these"
MAX_WIDTH = 60


class RowWriter:
    """Writes rows to a text stream."""

    def __init__(self, out: TextIO, format: Format, images: Sequence[str], student: LoadedStudent) -> None:
        self._out, self._format = out, format
        self._threshold, self._score = student.none_of_these, student.score
        self._labels = student.label_threshold if student.is_multi_label else None
        self._csv = csv.writer(out, lineterminator="\n")
        texts = (*student.labels, NONE_OF_THESE) if student.none_of_these else student.labels
        self._widths = [_width("image", images), _width("label", texts)]

    def begin(self) -> None:
        """Write the head of a table or of CSV."""
        if self._format == "csv":
            more = [] if self._score == "cosine" else [self._score]
            self._csv.writerow(["image", "rank", "label", "confidence", "cosine", *more, "none_of_these"])
        elif self._format == "table" and self._labels is not None:
            self._write_columns("image", "labels", "", "")
        elif self._format == "table":
            self._write_columns("image", "label", "confidence", "next")

    def write(self, image: str, found: Classification) -> None:
        """Write the row of an image; in CSV a row for each of its labels, and one without a label if it has none."""
        if self._format == "jsonl":
            self._out.write(json_line(_as_json(image, found, self._score)))
        elif self._format == "csv":
            none = "" if found.none_of_these is None else str(found.none_of_these).lower()
            values = [found.cosine] if found.score is None else [found.cosine, found.score]
            judged = [*(f"{value:.6f}" for value in values), none]
            for rank, one in enumerate(found.labels, start=1):
                self._csv.writerow([shown_path(image), rank, one.label, f"{one.confidence:.6f}", *judged])
            if not found.labels:
                self._csv.writerow([shown_path(image), "", "", "", *judged])
        elif self._labels is not None:
            nearest = f" (nearest: {_listed([found.nearest])})" if found.nearest else ""
            self._write_columns(shown_path(image), _listed(found.labels) or f"{NONE_OF_THESE}{nearest}", "", "")
        elif found.none_of_these:
            self._write_columns(shown_path(image), NONE_OF_THESE, "", _listed(found.labels))
        else:
            best, *others = found.labels
            self._write_columns(shown_path(image), shown_path(best.label), _percent(best), _listed(others))

    def end(self) -> None:
        """Write the meaning of the threshold below a table."""
        if self._format != "table":
            return
        if self._labels is not None:
            self._out.write(f"\n{label_threshold_text(self._labels)}\n")
        elif self._threshold is not None:
            self._out.write(f"\n{threshold_text(self._threshold)}\n")

    def _write_columns(self, image: str, label: str, confidence: str, others: str) -> None:
        first, second = self._widths
        self._out.write(f"{image:<{first}}  {label:<{second}}  {confidence:>10}  {others}".rstrip() + "\n")


def threshold_text(threshold: NoneOfThese) -> str:
    """What `none of these` means, with its measured false alarms."""
    text = f"{NONE_OF_THESE}: no label has a cosine of at least {threshold.threshold:.3f}"
    if threshold.score != "cosine":
        text = f"{NONE_OF_THESE}: the score {threshold.score} is below {threshold.threshold:.3f}"
    if threshold.false_alarm_rate is None:
        return text
    images = f"{threshold.num_images:,} held-out images" if threshold.num_images else "held-out images"
    return f"{text}. Of {images} of known labels, {threshold.false_alarm_rate:.1%} are wrongly called so"


def label_threshold_text(threshold: LabelThreshold) -> str:
    """Which labels an image has, with their measured precision and recall."""
    text = f"labels: those with a cosine of at least {threshold.threshold:.3f}"
    if threshold.precision is None or threshold.recall is None:
        return text
    return (
        f"{text}. On {threshold.num_images:,} held-out images, {threshold.precision:.1%} of such seen labels are "
        f"right, and {threshold.recall:.1%} of the right ones are found"
    )


def _as_json(image: str, found: Classification, score: OpenSetScore) -> dict[str, object]:
    labels = [{"label": one.label, "confidence": one.confidence} for one in found.labels]
    row: dict[str, object] = {"image": image, "labels": labels, "cosine": found.cosine}
    row |= {} if found.score is None else {score: found.score}
    return row if found.none_of_these is None else {**row, "none_of_these": found.none_of_these}


def _width(title: str, texts: Iterable[str]) -> int:
    return min(MAX_WIDTH, max(len(title), *map(len, map(shown_path, texts))))


def _listed(labels: Iterable[ScoredLabel]) -> str:
    return ", ".join(f"{shown_path(one.label)} {_percent(one)}" for one in labels)


def _percent(one: ScoredLabel) -> str:
    return f"{one.confidence:.1%}"
