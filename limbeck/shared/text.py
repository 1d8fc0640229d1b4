"""Cleaning of short untrusted texts and of errors of libraries, before a prompt, a terminal or a page has them, and
shortening of texts."""

import re
import unicodedata
from collections.abc import Callable, Iterable

from limbeck.shared.labels import is_invalid_character

_SPACE = re.compile(r"\s+")


def clean(text: str, max_chars: int) -> str:
    """Normalize to NFC, remove the characters that no label may have, collapse white space, trim, and cut."""
    text = _SPACE.sub(" ", unicodedata.normalize("NFC", text[: 4 * max_chars]))
    if not text.isprintable():
        text = "".join(character for character in text if not is_invalid_character(character))
    return text.strip()[:max_chars].rstrip()


def shorten(text: str, fits: Callable[[str], bool]) -> str:
    """The longest prefix of `text` that fits and ends between two phrases or at the end of a clause.

    Phrases are separated by `;`. Clauses end before `,` `;` `:` and after `.` `!` `?`. If the longest such prefix is
    shorter than half of the longest prefix of whole words, the latter is used; if no word fits, the prefix ends at a
    character. Raises ValueError if nothing fits.
    """
    if phrases := _longest(text, (match.start() for match in re.finditer(r";(?=\s)", text)), fits):
        return phrases
    clause = _longest(text, (match.start() for match in re.finditer(r"[,;:](?=\s)|(?<=\w[.!?])\s", text)), fits)
    word = _longest(text, (match.start() for match in re.finditer(r"\s+", text)), fits)
    best = clause if 2 * len(clause) >= len(word) else word
    best = best or _longest(text, range(len(text)), fits)
    if not best:
        raise ValueError(f"no prefix of {text!r} fits the teacher's context")
    return best


def _longest(text: str, ends: Iterable[int], fits: Callable[[str], bool]) -> str:
    # Linear search from the end: the token count is not monotonic in the length, so a bisection could miss the longest.
    prefixes = (text[:end].rstrip() for end in sorted(ends, reverse=True))
    return next((prefix for prefix in prefixes if prefix and fits(prefix)), "")


def first_line(error: BaseException) -> str:
    """The first line of an error's message, and the second after a colon; the error's name if it has no message.

    torch and timm list every tensor on a line of its own. At most 300 characters.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])[:300]


def unknown_setting(name: str, near: str = "") -> str:
    """The warning about an environment variable that no setting reads. Never contains its value."""
    return f"{name}: unknown setting" + (f"; did you mean {near}?" if near else "")


def counted(count: int, singular: str, plural: str = "") -> str:
    """A number with its noun: `1 part`, `1,200 parts`; `counted(n, "image is", "images are")`.

    `plural`: by default the noun with an s.
    """
    return f"{count:,} {singular if count == 1 else plural or f'{singular}s'}"


def time_text(seconds: float) -> str:
    """`4.2 s`, `45 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 or seconds == 0 else f"{seconds:.1f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    if not hours:
        return f"{minutes} min"
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
