"""Attributes of labels for `python -m distill`. Imports no torch.

A file is Limbeck's JSON (`{"entries": [{"label", "lines": [{"kind", "text"}]}]}`) or JSON of texts by label in the
shapes of `limbeck.shared.attribute_files.label_texts`; or label2text.txt with a file of sentences, which also give the
labels and the folder of each one. Entries are matched to labels by `limbeck.shared.label_matching`; those without a
label are left out and reported.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distill.data.dataset.label_matcher import LabelIds
from distill.json_types import JSONObject
from distill.texts.text_templates import LabelAttributes
from limbeck.shared.attribute_files.decoding import decode
from limbeck.shared.attribute_files.json_documents import parse_json
from limbeck.shared.attribute_files.label2text import folder_map, read_rows, read_sentences
from limbeck.shared.attribute_files.label_texts import ONE_TEXT, is_sentences, read_label_texts
from limbeck.shared.attribute_files.matching import Rule, assign, label_of_text
from limbeck.shared.attribute_files.reading import FormatError, Reading
from limbeck.shared.label_matching import is_identifier
from limbeck.shared.labels import LabelPair, written
from limbeck.shared.text import counted

Lines = tuple[JSONObject, ...]
"""The attribute lines of one label, each with at least `kind` and `text`."""
_CONVERT = "convert it by `limbeck attributes import FILE` and `limbeck attributes export SET --format json`"
_JSON_LINES = (".jsonl", ".ndjson")
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class LabelsWithLines:
    """Labels, the lines of each, and what the reader reports. `names`: the labels as texts for the teacher show them.

    `folder_map`: folder -> label, empty if the files do not say it. `ids`: identifiers and aliases of each label.
    """

    labels: list[str]
    names: list[str]
    lines: list[Lines]
    folder_map: dict[str, str]
    notes: list[str]
    ids: Sequence[LabelIds] | None = None

    def only(self, positions: Sequence[int]) -> "LabelsWithLines":
        """The labels at these positions."""
        labels = [self.labels[at] for at in positions]
        left_out = len(self.labels) - len(labels)
        return replace(
            self,
            labels=labels,
            names=[self.names[at] for at in positions],
            lines=[self.lines[at] for at in positions],
            folder_map={folder: label for folder, label in self.folder_map.items() if label in set(labels)},
            notes=[
                *self.notes,
                *(
                    [f"{left_out:,} of {len(self.labels):,} labels have no images, and are left out"]
                    if left_out
                    else []
                ),
            ],
            ids=None if self.ids is None else [self.ids[at] for at in positions],
        )


def read_attributes(path: Path, labels: Sequence[str]) -> LabelsWithLines:
    """The attribute lines of each label. Raises ValueError for another format, and for a file about none of them."""
    reading = Reading()
    try:
        entries = _entries(path, reading)
    except FormatError as error:
        raise ValueError(f"{path}: {error}") from None
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is neither an attribute set nor label -> texts: {error}") from error
    pairs = [label for label, _ in entries]
    assignment = assign(pairs, [label_of_text(label) for label in labels])
    if not assignment.matched:
        raise ValueError(f"{path} has no entry for any label of the list: use the same names in both files")
    notes = reading.report.lines()
    for rule, how in ((Rule.NORMALIZED, "by normalisation"), (Rule.SHARED, "several senses, which all get its lines")):
        matched = [(written(*pairs[one.entry]), [labels[at] for at in one.labels]) for one in assignment.of_rule(rule)]
        if found := [f"{entry} → {', '.join(names)}" for entry, names in matched]:
            notes.append(f"{counted(len(found), 'entry', 'entries')} matched {how}: {_listed(found, len(found))}")
    if assignment.num_faults:
        details = [detail for _, detail in assignment.faults]
        left_out = counted(assignment.num_faults, "entry is", "entries are")
        notes.append(f"{left_out} left out: {_listed(details, assignment.num_faults)}")
    lines = [() if at is None else entries[at][1] for at in assignment.entry_of]
    return LabelsWithLines(labels=list(labels), names=list(labels), lines=lines, folder_map={}, notes=notes)


def read_label2text(label2text: Path, sentences: Path | None) -> LabelsWithLines:
    """The labels of label2text.txt, with their sentences and folders. Raises ValueError with all faults."""
    reading = Reading()
    try:
        rows = read_rows(_text(label2text), reading)
        texts = read_sentences(rows, _text(sentences), reading) if sentences is not None else [""] * len(rows)
        reading.close()
    except FormatError as error:
        raise ValueError(f"{label2text if error.file == 'label2text' else sentences}: {error}") from None
    if len(rows) < 2:
        raise ValueError(f"{label2text} holds {counted(len(rows), 'label')}: at least two are needed")
    return LabelsWithLines(
        labels=[row.label for row in rows],
        names=[row.name if row.sense and is_identifier(row.sense) else row.label for row in rows],
        lines=[({"kind": "sentence", "text": text},) if text else () for text in texts],
        folder_map=folder_map(rows),
        notes=reading.report.lines(),
    )


def _entries(path: Path, reading: Reading) -> list[tuple[LabelPair, Lines]]:
    text = _text(path)
    if not text.lstrip().startswith(("{", "[", '"')):
        raise FormatError(f"is no JSON of Limbeck or of label -> texts; {_CONVERT}")
    try:
        data: Any = parse_json(text, reading)
    except FormatError as error:
        if error.detail.startswith("is not JSON: more text follows") and path.suffix.lower() in _JSON_LINES:
            raise FormatError(f"is JSON Lines; {_CONVERT}") from None
        raise
    if isinstance(data, dict) and isinstance(data.get("entries"), list) and "format" in data:
        reading.close()
        return [((entry["label"], entry.get("sense")), _checked(entry["lines"])) for entry in data["entries"]]
    found = read_label_texts(data, reading)
    reading.close()
    kind = "phrase"
    if is_sentences(found):
        kind = "sentence" if reading.report.read_as == ONE_TEXT else "answer"
    return [
        ((label.name, label.sense), _checked([{"kind": kind, "text": one.text} for one in label.texts]))
        for label in found
    ]


def _checked(lines: Sequence[JSONObject]) -> Lines:
    LabelAttributes.of_lines(lines)  # raises TypeError and KeyError
    return tuple(lines)


def _listed(found: Sequence[str], number: int) -> str:
    return "; ".join(found[:_SHOWN]) + ("; …" if number > _SHOWN else "")


def _text(path: Path) -> str:
    try:
        return decode(path.read_bytes())[0]
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}") from None
