"""CuPL's JSON (arXiv:2209.03320): label -> list of sentences. They are read as lines of kind `answer`, whose questions
the format does not hold. Other kinds of lines and all other fields are lost.
"""

from collections.abc import Iterable

from attributes.formats.common import Reading
from attributes.formats.label_lists import read_label_lists, write_label_lists
from attributes.types import Entry


def write_cupl(entries: Iterable[Entry]) -> str:
    """The answers by label; keys are written as `write_label_lists` says. Raises FormatError."""
    return write_label_lists(entries, "answer", "CuPL's JSON")


def read_cupl(text: str, reading: Reading | None = None) -> list[Entry]:
    """The entries, with the cleaned sentences as answers. Raises FormatError."""
    return read_label_lists(text, "answer", reading or Reading())
