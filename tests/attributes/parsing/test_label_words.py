"""Words of names in one form, and typos."""

import pytest

from attributes.parsing.label_words import folded, is_typo, without_article, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Black_footed Albatross", ("black", "footed", "albatross")),
        ("Chuck-will's-widow", ("chuck", "will", "widow")),
        ("colt's foot", ("colt", "foot")),
        ("axes and boxes", ("ax", "and", "box")),
        ("berries, peaches, glasses", ("berry", "peach", "glasses")),
        ("bus & buses", ("bus", "and", "bus")),
        ("Straße", ("strasse",)),
        ("हिन्दी", words_of("हिन्दी")),
        ("", ()),
    ],
)
def test_words_of(text: str, words: tuple[str, ...]) -> None:
    assert words_of(text) == words


def test_marks_of_other_scripts_are_letters() -> None:
    assert folded("が") != folded("か")
    assert folded("é") == folded("e")


def test_an_article_alone_is_a_name() -> None:
    assert without_article(("the", "robin")) == ("robin",)
    assert without_article(("a",)) == ("a",)
    assert without_article(("a", "4")) == ("a", "4")


@pytest.mark.parametrize(
    ("one", "other", "typo"),
    [
        ("artic tern", "arctic tern", True),
        ("arctic tren", "arctic tern", True),
        ("arctic tern", "arctic tern", False),  # the same
        ("artic tren", "arctic tern", False),  # two words differ
        ("wren", "wern", False),  # too short
        ("albatross", "lbatross", False),  # the first letter
        ("hippopotamus", "hipopotamos", True),
        ("heron", "heroin", False),  # both are words
        ("golden plover", "golden clover", False),
        ("brown bear", "brown boar", False),
        ("grass hopper", "gras hopper", True),
        ("model 12345x", "model 12346x", False),
    ],
)
def test_is_typo(one: str, other: str, typo: bool) -> None:
    assert is_typo(tuple(one.split()), tuple(other.split())) == typo
    assert is_typo(tuple(other.split()), tuple(one.split())) == typo
