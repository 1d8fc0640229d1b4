"""Cleaning of short untrusted texts, before a prompt contains them or a terminal or a page shows them."""

import re
import unicodedata

from limbeck.shared.labels import is_invalid_character

_SPACE = re.compile(r"\s+")


def clean(text: str, max_chars: int) -> str:
    """Normalize to NFC, remove the characters that no label may have, collapse white space, trim, and cut."""
    text = _SPACE.sub(" ", unicodedata.normalize("NFC", text[: 4 * max_chars]))
    if not text.isprintable():
        text = "".join(character for character in text if not is_invalid_character(character))
    return text.strip()[:max_chars].rstrip()
