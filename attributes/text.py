"""Short text that others wrote: cleaned, capped, compared. Nothing that comes in is trusted to be printable."""

import re
import unicodedata

MAX_LABEL_CHARS = 200
MAX_SENSE_CHARS = 500
MAX_DOMAIN_CHARS = 200

_UNPRINTABLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"  # some scripts cannot be spelt without them
_SPACE = re.compile(r"\s+")


def is_control(character: str) -> bool:
    """Controls, invisible marks, lone surrogates, line separators; not the joiners that some scripts need."""
    return unicodedata.category(character) in _UNPRINTABLE and character not in _JOINERS


def clean(text: str, max_chars: int) -> str:
    """NFC, control characters out, runs of white space to one space, trimmed, cut at `max_chars` characters."""
    text = _SPACE.sub(" ", unicodedata.normalize("NFC", text[: 4 * max_chars]))
    if not text.isprintable():
        text = "".join(character for character in text if not is_control(character))
    return text.strip()[:max_chars].rstrip()


def normalize(text: str) -> str:
    """What a person typed as it is kept: NFC, trimmed."""
    return unicodedata.normalize("NFC", text).strip()


def database_safe(text: str, max_chars: int) -> str:
    """The text as any database keeps it: without NUL and lone surrogates, cut at `max_chars` characters."""
    return text[:max_chars].replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def fault_of(text: str, max_chars: int) -> str | None:
    """Why this cannot be a label, sense or domain of at most `max_chars` characters; None if it can."""
    if not text.strip():
        return "is blank"
    if len(text) > max_chars:
        return f"has {len(text)} characters; at most {max_chars} are allowed"
    odd = [] if text.isprintable() else [character for character in text if is_control(character)]
    return f"has a control character (U+{ord(odd[0]):04X})" if odd else None


def same_name(one: str, other: str) -> bool:
    """Whether two spellings name the same label: letters and digits are compared, without case."""
    return _comparison_key(one) == _comparison_key(other)


def has_content(text: str) -> bool:
    """Whether the text holds a letter or digit; published sets hold sentences that are a lone full stop."""
    return any(character.isalnum() for character in text)


def num_words(text: str) -> int:
    return len(text.split())


def _comparison_key(name: str) -> str:
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(character for character in folded if character.isalnum()) or folded.strip()
