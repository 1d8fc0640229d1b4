"""Readers of label lists and attribute sets for `python -m distill`. Imports no torch.

Label list: a label file of any form that `limbeck.shared.label_files` reads. Attribute set: Limbeck's JSON
(`{"entries": [{"label", "lines": [{"kind", "text"}]}]}`) or DCLIP's JSON (label -> list of phrases). Entries of labels
that are not listed are ignored.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from distill.json_types import JSONObject
from distill.texts.text_templates import LabelAttributes
from limbeck.shared.label_files import LabelFileError, read_label_file
from limbeck.shared.labels import fold, name_fault, readings, sense_fault, unique_names, written

Lines = tuple[JSONObject, ...]
"""The attribute lines of one label, each with at least `kind` and `text`."""


def read_labels(path: Path, on_report: Callable[[str], None] | None = None) -> list[str]:
    """The labels of a file, in order; with its sense in brackets, where labels share a name. Raises ValueError.

    `on_report` gets what was taken as the label and what was dropped.
    """
    try:
        found = read_label_file(path.read_bytes(), path.name, fault_of_name=_fault)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except LabelFileError as error:
        raise ValueError(f"{path}: {error}") from None
    if len(found.labels) < 2:
        raise ValueError(f"{path} holds {len(found.labels)} labels: at least two are needed")
    if on_report is not None:
        on_report(f"{path}: {found.report()}")
    return unique_names(found.pairs)


def _fault(name: str, sense: str | None) -> str | None:
    """Why a name is invalid; `name (sense)` is valid if its parts are."""
    faults = [name_fault(one) or sense_fault(other) for one, other in readings(name)]
    return faults[0] if all(faults) else None


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
