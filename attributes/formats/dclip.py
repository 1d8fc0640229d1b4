"""DCLIP's JSON (arXiv:2210.07183): label -> list of phrases. Other kinds of lines and all other fields are lost."""

from collections.abc import Iterable

from attributes.formats.common import Reading
from attributes.formats.label_lists import read_label_lists, write_label_lists
from attributes.types import Entry


def write_dclip(entries: Iterable[Entry]) -> str:
    """The phrases by label; keys are written as `write_label_lists` says. Raises FormatError."""
    return write_label_lists(entries, "phrase", "DCLIP's JSON")


def read_dclip(text: str, reading: Reading | None = None) -> list[Entry]:
    """The entries, with the cleaned phrases, without value. Raises FormatError."""
    return read_label_lists(text, "phrase", reading or Reading())
