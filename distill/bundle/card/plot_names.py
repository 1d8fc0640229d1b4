"""Names of labels in plots: shortened, in a font that has their characters.

DejaVu Sans, which matplotlib brings, has Latin, Greek, Cyrillic, Arabic and more. For other scripts the first installed
font (in alphabetical order) that has all characters of the name is used, so that the same machine draws the same bytes.
A name that no font has is drawn as its number among the measured labels, because boxes look like a name.
"""

from collections.abc import Iterable, Sequence
from functools import cache

from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.ft2font import FT2Font

MAX_LENGTH = 32
DEFAULT = "DejaVu Sans"
NUMBERED = "label number "
NOT_A_FONT_OF_TEXT = ("Last Resort", "LastResort", "Blank", "Barcode")
"""Beginnings of the names of fonts that have every character, but no letters."""


def row_name(label: str, number: int) -> str:
    """The name of a label in a plot; `number`: its number among the measured labels, from 1."""
    name = shorten(label)
    return name if font_of(name) else f"{NUMBERED}{number}"


def shorten(label: str) -> str:
    """The name on one line; a long one loses its middle, because names of one kind often begin alike."""
    name = " ".join("".join(character if character.isprintable() else " " for character in label).split())
    if len(name) <= MAX_LENGTH:
        return name
    tail = MAX_LENGTH // 3
    return f"{name[: MAX_LENGTH - tail - 1].rstrip()}…{name[-tail:].lstrip()}"


def set_row_names(axes: Axes, positions: Sequence[float], names: Sequence[str], *, size: float = 7) -> None:
    """Write names beside the rows of a plot."""
    axes.set_yticks(list(positions), list(names), fontsize=size)
    for text in axes.get_yticklabels():
        text.set_parse_math(False)  # a "$" in a label is not math
        text.set_fontfamily([DEFAULT, font_of(text.get_text()) or DEFAULT])


@cache
def font_of(text: str) -> str | None:
    """The name of a font that, with DejaVu Sans, has all characters of `text`; None if there is none."""
    missing = {ord(character) for character in text if not character.isspace()} - _characters(_default_file())
    if not missing:
        return DEFAULT
    return next((name for name, path in _installed() if missing <= _characters(path)), None)


@cache
def _installed() -> tuple[tuple[str, str], ...]:
    """Name and file of every font for text, in alphabetical order, so that the choice does not depend on the disk."""
    fonts: Iterable[font_manager.FontEntry] = font_manager.fontManager.ttflist
    named = {(font.name, font.fname) for font in fonts if not font.name.startswith(NOT_A_FONT_OF_TEXT)}
    return tuple(sorted(named))


@cache
def _characters(path: str) -> frozenset[int]:
    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):  # a broken font of this machine
        return frozenset()


def _default_file() -> str:
    return str(font_manager.findfont(DEFAULT))
