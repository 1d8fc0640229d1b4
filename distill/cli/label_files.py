"""The files of labels and attributes that `python -m distill` reads. Without torch.

Labels: a text file, a label a line. Attributes: Limbeck's own JSON (`{"entries": [{"label", "lines": [
{"kind", "text"}]}]}`), or DCLIP's (label -> list of phrases). What a set says of labels not in the list is passed over.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distill.texts.text_templates import LabelAttributes

Lines = tuple[dict[str, Any], ...]


def read_labels(path: Path) -> list[str]:
    """The labels of a file, in order; blank lines are passed over. Raises ValueError naming the line."""
    labels: dict[str, int] = {}
    for number, line in enumerate(_text(path).splitlines(), start=1):
        label = " ".join(line.split())
        if not label:
            continue
        if label in labels:
            raise ValueError(
                f'{path} line {number}: "{label}" is line {labels[label]} too; tell them apart as "{label} (sense)"'
            )
        labels[label] = number
    if len(labels) < 2:
        raise ValueError(f"{path} holds {len(labels)} labels: two are the least that can be told apart")
    return list(labels)


def read_attributes(path: Path, labels: Sequence[str]) -> list[Lines]:
    """What a set says of each of `labels`, by the label's name, or `name (sense)` where the entry has a sense.

    Raises ValueError for a file in neither form, and for one that says nothing of any of the labels.
    """
    try:
        known = _entries(json.loads(_text(path)))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is neither an attribute set nor label -> phrases: {error}") from error
    if not known.keys() & set(labels):
        raise ValueError(f"{path} says nothing of any label: do its labels have the names that the list has?")
    return [known.get(label, ()) for label in labels]


def _entries(data: Any) -> dict[str, Lines]:
    if "entries" not in data:
        return {
            label: _checked([{"kind": "phrase", "text": one} for one in phrases]) for label, phrases in data.items()
        }
    known: dict[str, Lines] = {}
    for entry in data["entries"]:
        said = _checked(entry["lines"])
        if entry.get("sense"):
            known[f"{entry['label']} ({entry['sense']})"] = said
        known.setdefault(entry["label"], said)
    return known


def _checked(lines: Sequence[dict[str, Any]]) -> Lines:
    LabelAttributes.of_lines(lines)
    return tuple(lines)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: {error}") from error
