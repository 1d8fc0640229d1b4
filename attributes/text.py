"""Cleaning, length limits and comparison of short untrusted texts."""

import re
import unicodedata

MAX_LABEL_CHARS = 200
MAX_SENSE_CHARS = 500
MAX_DOMAIN_CHARS = 200

_UNPRINTABLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"  # some scripts need them
_SPACE = re.compile(r"\s+")


def is_control(character: str) -> bool:
    """Whether this is a control, format, private-use or unassigned character, a lone surrogate or a line separator.

    The zero-width joiners are not counted, because some scripts need them.
    """
    return unicodedata.category(character) in _UNPRINTABLE and character not in _JOINERS


def clean(text: str, max_chars: int) -> str:
    """Normalize to NFC, remove control characters, collapse white space, trim, and cut at `max_chars` characters."""
    text = _SPACE.sub(" ", unicodedata.normalize("NFC", text[: 4 * max_chars]))
    if not text.isprintable():
        text = "".join(character for character in text if not is_control(character))
    return text.strip()[:max_chars].rstrip()


def normalize(text: str) -> str:
    """Normalize to NFC and trim; for text that a person typed."""
    return unicodedata.normalize("NFC", text).strip()


def database_safe(text: str, max_chars: int) -> str:
    """The text as every database accepts it: without NUL and lone surrogates, cut at `max_chars` characters."""
    return text[:max_chars].replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def fault_of(text: str, max_chars: int) -> str | None:
    """Why the text is not valid as a label, sense or domain of at most `max_chars` characters; None if it is valid."""
    if not text.strip():
        return "is blank"
    if len(text) > max_chars:
        return f"has {len(text)} characters; at most {max_chars} are allowed"
    controls = [] if text.isprintable() else [character for character in text if is_control(character)]
    return f"has a control character (U+{ord(controls[0]):04X})" if controls else None


def same_name(one: str, other: str) -> bool:
    """Whether two spellings name the same label. Only letters and digits are compared, without case."""
    return _comparison_key(one) == _comparison_key(other)


def has_content(text: str) -> bool:
    """Whether the text has a letter or digit. Published sets have sentences that are only a full stop."""
    return any(character.isalnum() for character in text)


def num_words(text: str) -> int:
    """The number of words, separated by white space."""
    return len(text.split())


def _comparison_key(name: str) -> str:
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(character for character in folded if character.isalnum()) or folded.strip()
