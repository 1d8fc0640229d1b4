"""Readers of label lists and attribute sets for `python -m distill`. Imports no torch.

Label list: a text file with one label per line. Attribute set: Limbeck's JSON (`{"entries": [{"label", "lines":
[{"kind", "text"}]}]}`) or DCLIP's JSON (label -> list of phrases). Entries of labels that are not listed are ignored.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distill.json_types import JSONObject
from distill.texts.text_templates import LabelAttributes
from limbeck.shared.labels import duplicates, fold, label_fault, normalize, numbered_lines, readings, written

Lines = tuple[JSONObject, ...]
"""The attribute lines of one label, each with at least `kind` and `text`."""


def read_labels(path: Path) -> list[str]:
    """The labels of a file, in order, without blank lines. Raises ValueError naming the line."""
    lines = [(number, label) for number, line in numbered_lines(_read_text(path)) if (label := normalize(line))]
    for number, label in lines:
        faults = [label_fault(name, sense) for name, sense in readings(label)]
        if all(faults):
            raise ValueError(f"{path} line {number}: {faults[0]}")
    for position, first in duplicates([(label, None) for _, label in lines]):
        number, label = lines[position]
        raise ValueError(
            f'{path} line {number}: "{label}" is also on line {lines[first][0]}; give each a sense: "{label} (sense)"'
        )
    if len(lines) < 2:
        raise ValueError(f"{path} holds {len(lines)} labels: at least two are needed")
    return [label for _, label in lines]


def read_attributes(path: Path, labels: Sequence[str]) -> list[Lines]:
    """The attribute lines of each label, found by its name, or by `name (sense)` if the entry has a sense.

    Raises ValueError for a file in another format, and for a set without any of the labels.
    """
    try:
        lines_of = _entries(json.loads(_read_text(path)))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is neither an attribute set nor label -> phrases: {error}") from error
    if not lines_of.keys() & set(map(fold, labels)):
        raise ValueError(f"{path} has no entry for any label of the list: use the same names in both files")
    return [lines_of.get(fold(label), ()) for label in labels]


def _entries(data: Any) -> dict[str, Lines]:
    """The lines by the label's name and by `name (sense)`, as `fold` compares them."""
    if "entries" not in data:
        return {
            fold(label): _checked([{"kind": "phrase", "text": phrase} for phrase in phrases])
            for label, phrases in data.items()
        }
    lines_of: dict[str, Lines] = {}
    for entry in data["entries"]:
        lines = _checked(entry["lines"])
        if entry.get("sense"):
            lines_of[fold(written(entry["label"], entry["sense"]))] = lines
        lines_of.setdefault(fold(entry["label"]), lines)
    return lines_of


def _checked(lines: Sequence[JSONObject]) -> Lines:
    LabelAttributes.of_lines(lines)  # raises TypeError and KeyError
    return tuple(lines)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: {error}") from error
