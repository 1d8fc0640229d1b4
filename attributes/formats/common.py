"""Shared parts of the readers and writers: checks of texts, names of labels, flags.

`limbeck.shared.attribute_files` has the errors and the counts, `limbeck.shared.labels` the rule of labels.
"""

from collections.abc import Iterable
from dataclasses import replace

from attributes.flags import flags_of
from attributes.types import Entry, Label
from limbeck.shared import labels
from limbeck.shared.attribute_files.reading import Fault, FormatError, Reading
from limbeck.shared.labels import quoted

__all__ = ["MAX_TEXT_CHARS", "Fault", "FormatError", "Reading"]

MAX_TEXT_CHARS = 5_000


def line_fault(text: str) -> str | None:
    """Why the text of a line is invalid, or None. An empty text is valid: published files have them."""
    return labels.text_fault(text, MAX_TEXT_CHARS) if text else None


def duplicate_message(label: Label, line: int | None) -> str:
    """The message for a label that was first given on `line`."""
    return f"label {quoted(str(label))} is also on line {line}"


def unique_names(entries: Iterable[Entry]) -> list[str]:
    """The name of each entry for formats without senses: `crane (bird)` if several labels share the name `crane`."""
    return labels.unique_names([(entry.label, entry.sense) for entry in entries])


def with_flags(entry: Entry) -> Entry:
    """The entry with its flags."""
    return replace(entry, flags=flags_of(entry))
