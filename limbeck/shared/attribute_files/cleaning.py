"""Normalisation of texts and labels of imported files: white space, and invisible characters.

Each run of white space (line ends, tabs, no-break spaces, U+2028) becomes one space, and the ends are trimmed. Format
characters without a visible form (zero-width space, byte order mark, soft hyphen, bidi marks) are removed, except the
zero-width joiners, which some scripts need (`limbeck.shared.labels`). Characters without an agreed meaning are removed
too, and the caller warns of them: control characters, lone surrogates, private-use and unassigned characters.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

_SPACE = re.compile(r"\s+")
_JOINERS = "\u200c\u200d"
UNUSUAL = {
    "Co": "private-use characters",
    "Cc": "control characters",
    "Cs": "lone surrogates",
    "Cn": "unassigned characters",
}
"""The categories of removed characters that deserve a warning; `Cf`, invisible format characters, does not."""


@dataclass(frozen=True, slots=True)
class CleanText:
    """A cleaned text. `removed` counts the removed characters by Unicode category; `is_changed`: anything changed."""

    text: str
    is_changed: bool = False
    removed: Mapping[str, int] = field(default_factory=dict)


def is_clean(text: str) -> bool:
    """Whether `clean_text` would surely not change the text. Most texts are clean, and this is fast."""
    return text.isprintable() and "  " not in text and text == text.strip()


def clean_text(text: str) -> CleanText:
    """The text with single spaces and without invisible characters; empty if nothing visible is left."""
    if is_clean(text):
        return CleanText(text)
    removed: Counter[str] = Counter()
    kept = []
    for character in text:
        category = unicodedata.category(character)
        if character.isspace() or character in _JOINERS or (category not in UNUSUAL and category != "Cf"):
            kept.append(character)
        else:
            removed[category] += 1
    cleaned = _SPACE.sub(" ", "".join(kept)).strip()
    if not cleaned.strip(_JOINERS + " "):
        cleaned = ""
    return CleanText(cleaned, cleaned != text, removed)
