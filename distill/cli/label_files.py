"""Readers of label lists and attribute sets for `python -m distill`. Imports no torch.

Label list: a label file of any form that `limbeck.shared.label_files` reads. Attribute set: Limbeck's JSON
(`{"entries": [{"label", "lines": [{"kind", "text"}]}]}`) or DCLIP's JSON (label -> list of phrases). Entries of labels
that are not listed are ignored.
"""

from collections.abc import Callable
from pathlib import Path

from distill.data.dataset.label_matcher import LabelIds
from distill.json_types import JSONObject
from limbeck.shared.label_files import LabelFileError, read_label_file
from limbeck.shared.labels import name_fault, readings, sense_fault, unique_names
from limbeck.shared.text import counted

Lines = tuple[JSONObject, ...]
"""The attribute lines of one label, each with at least `kind` and `text`."""


def read_labels(path: Path, on_report: Callable[[str], None] | None = None) -> list[str]:
    """The labels of a file, in order; with its sense in brackets, where labels share a name. Raises ValueError.

    `on_report` gets what was taken as the label and what was dropped.
    """
    return read_labels_and_ids(path, on_report)[0]


def read_labels_and_ids(path: Path, on_report: Callable[[str], None] | None = None) -> tuple[list[str], list[LabelIds]]:
    """The labels as `read_labels` returns them, and the identifiers and aliases that the file gives each."""
    try:
        found = read_label_file(path.read_bytes(), path.name, fault_of_name=_fault)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except LabelFileError as error:
        raise ValueError(f"{path}: {error}") from None
    if len(found.labels) < 2:
        raise ValueError(f"{path} holds {counted(len(found.labels), 'label')}: at least two are needed")
    if on_report is not None:
        on_report(f"{path}: {found.report()}")
    return unique_names(found.pairs), [label.ids for label in found.labels]


def _fault(name: str, sense: str | None) -> str | None:
    """Why a name is invalid; `name (sense)` is valid if its parts are."""
    faults = [name_fault(one) or sense_fault(other) for one, other in readings(name)]
    return faults[0] if all(faults) else None
