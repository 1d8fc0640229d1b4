"""Evaluations on a terminal: a table of accuracies, and what to do if attributes make the teacher worse."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from limbeck.commands.precision_table import precision_table

if TYPE_CHECKING:
    from rich.table import Table

PARTS = {"id": "seen", "ood": "unseen"}


class AccuracyIntervals(TypedDict):
    """95% intervals of an accuracy; `images`: over other images of the same labels."""

    images: list[float]


class PartAccuracy(TypedDict):
    """What is shown of the evaluation of one part."""

    accuracy: float
    chance: float
    num_labels: int
    num_images: NotRequired[int]
    intervals: NotRequired[AccuracyIntervals]


Row = tuple[str, str, Mapping[str, Any]]
"""Model, text, evaluation."""


def results_table(rows: Sequence[Row]) -> "Table":
    """Mean per-class accuracy of each row, and of random guessing; of images with several labels average precision."""
    from rich.table import Table

    if rows[0][2].get("multi_label"):
        return precision_table(rows, PARTS)
    table = Table("", "text", title="mean per-class accuracy", title_style="bold")
    parts = [part for part in PARTS if rows[0][2].get(part)]
    for part in parts:
        table.add_column(f"{PARTS[part]} labels ({rows[0][2][part]['num_labels']})", justify="right")
    for model, text, evaluation in rows:
        table.add_row(model, text, *(f"{evaluation[part]['accuracy']:.1%}" for part in parts))
    table.add_row("chance", "", *(f"{rows[0][2][part]['chance']:.1%}" for part in parts), style="dim")
    return table


def figures_of(evaluation: Mapping[str, Any], part: str) -> Mapping[str, Any] | None:
    """The figures of a part, those of images with several labels if they have several; None if it was not measured."""
    return (evaluation.get("multi_label") or evaluation).get(part) or None


def accuracy_text(figures: Mapping[str, Any] | None) -> str:
    """`97.1%`, or `40.0% mAP` of images with several labels; empty without figures."""
    if figures is None:
        return ""
    return f"{figures['mean_ap']:.1%} mAP" if "mean_ap" in figures else f"{figures['accuracy']:.1%}"


def is_measured(evaluation: Mapping[str, Any]) -> bool:
    """Whether an evaluation has a result: not that of a student trained on everything."""
    return any(figures_of(evaluation, part) for part in PARTS)


def names_are_better(text: str, by_text: Mapping[str, Any], by_names: Mapping[str, Any]) -> str:
    """One sentence if a teacher is worse by `text` than by names beyond the 95% intervals; else empty."""
    worse = [
        f"{_figure(by_text[part])} against {_figure(by_names[part])} on {seen} labels"
        for part, seen in PARTS.items()
        if _is_below(by_text.get(part), by_names.get(part))
    ]
    if not worse:
        return ""
    return (
        f"the attributes make the teacher worse than the names alone: by {text} {' and '.join(worse)}; use --text "
        "names, another text or other --strategies, and see which texts help with limbeck attributes prove"
    )


def _is_below(one: PartAccuracy | None, other: PartAccuracy | None) -> bool:
    """Whether the accuracy is lower, and the intervals do not overlap."""
    if not one or not other or "intervals" not in one or "intervals" not in other:
        return False
    return one["intervals"]["images"][1] < other["intervals"]["images"][0]


def _figure(part: PartAccuracy) -> str:
    low, high = part["intervals"]["images"]
    return f"{part['accuracy']:.1%} ({low:.1%} to {high:.1%})"


def no_student_text(job_id: str) -> str:
    """What a training without a student is for, and that a folder for one stays empty."""
    return (
        "no student is delivered, and nothing is downloaded: protocol closed_set trains a baseline. Compare a student "
        f"with it: limbeck evaluate CHECKPOINT --dataset DATASET --corruptions 200 --baseline {job_id}"
    )
