"""Names of labels in plots: one line, and a font that has their characters."""

from pathlib import Path

import matplotlib
import pytest
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from distill.bundle.card import plot_names
from distill.bundle.card.plot_names import DEFAULT, MAX_LENGTH, font_of, row_name, shorten


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("red finch", "red finch"),
        ("line\nbreak \x07", "line break"),
        ("a very long name of a bird, number 17", "a very long name of a…number 17"),
    ],
)
def test_a_long_name_loses_its_middle(label: str, shown: str) -> None:
    assert shorten(label) == shown
    assert len(shown) <= MAX_LENGTH


@pytest.mark.parametrize("name", ["Ålesund", "Жар-птица", "ὄρνις", "طائر أزرق", "ציפור", "a → b"])
def test_scripts_of_the_font_of_matplotlib(name: str) -> None:
    assert font_of(name) == DEFAULT
    assert row_name(name, 3) == name


def test_another_installed_font_is_used_or_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "STIXGeneral.ttf"
    default = set(FT2Font(font_manager.findfont(DEFAULT)).get_charmap())
    character = chr(min(set(FT2Font(other).get_charmap()) - default))
    assert font_of(f"x {character}") not in (DEFAULT, None)
    font_of.cache_clear()
    monkeypatch.setattr(plot_names, "_installed", tuple)
    assert font_of(f"x {character}") is None
    assert row_name(f"x {character}", 3) == "label number 3"
    font_of.cache_clear()
