"""Names of other labels: whole names, singular or plural, and exceptions."""

import pytest

from attributes.gates.label_names import NameIndex, name_words, without_name
from attributes.types import Label

NAMES = ("crow", "American crow", "fish crow", "goose", "Brewer Blackbird", "orange", "can", "cedar waxwing", "foot")
VOCABULARY = [Label(name) for name in NAMES]


def named(label: str, text: str, sense: str | None = None, vocabulary: list[Label] = VOCABULARY) -> list[str]:
    own = name_words(label)
    return list(NameIndex(vocabulary).named_in(without_name(text, own)[1], own, sense))


@pytest.mark.parametrize(
    ("label", "text", "others"),
    [
        ("fish crow", "smaller than the American Crow", ["American crow"]),
        ("fish crow", "unlike geese and cedar waxwings", ["goose", "cedar waxwing"]),
        ("goose", "a Brewer's blackbird, and a crow", ["Brewer Blackbird", "crow"]),
        ("goose", "a scarecrow in crowded cedar", []),
    ],
)
def test_other_labels_are_found_whole(label: str, text: str, others: list[str]) -> None:
    assert named(label, text) == others


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("American crow", "The American crow is a black crow"),
        ("crow", "an American crow, all black"),
        ("Brewer Blackbird", "Brewer's Blackbirds have pale eyes"),
        ("goose-foot tree", "leaves like a foot"),
        ("goose", "an orange bill that can open"),
    ],
)
def test_names_that_are_not_violations(label: str, text: str) -> None:
    assert named(label, text) == []


def test_words_of_the_labels_sense_are_allowed() -> None:
    vocabulary = [Label("crane", "tall bird"), Label("bird"), Label("machine")]
    assert named("crane", "a tall bird", "tall bird", vocabulary) == []
    assert named("crane", "a tall bird", None, vocabulary) == ["bird"]


def test_the_own_name_is_removed_as_a_whole() -> None:
    text, words = without_name("The Brewer's Blackbirds, and a blackbird.", name_words("Brewer Blackbird"))
    assert words == ["the", "", "", "and", "a", "blackbird"]
    assert " ".join(text.split()) == "The , and a blackbird."
    assert without_name("nothing here", name_words("crow")) == ("nothing here", ["nothing", "here"])
    assert without_name("x", ()) == ("x", ["x"])
