"""Words and their meaning: paraphrases are equal, different meanings are not."""

import pytest

from attributes.gates.words.lemmas import clauses, lemma, meaning, singular, words


def same(one: str, other: str) -> bool:
    """Whether two labels with these attributes share an attribute."""
    first, second = meaning(one), meaning(other)
    grouped = first.chunks == second.chunks or first.single or second.single
    return first.bag == second.bag and grouped


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("long pointed wings", "wings that are long and pointed"),
        ("a long, pointed wing", "pointed long wings"),
        ("grey feathers", "a gray feather"),
        ("a striped tail", "tail with stripes"),
        ("white-barred wings", "wings with white bars"),
        ("It has a short, thick bill.", "short thick bills"),
    ],
)
def test_paraphrases_have_the_same_meaning(one: str, other: str) -> None:
    assert same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a black head with a white stripe", "a white head with a black stripe"),
        ("a white belly and a black back", "a black belly and a white back"),
        ("a long bill", "a short bill"),
        ("a tail with white spots", "a tail without white spots"),
        ("two white bars", "three white bars"),
    ],
)
def test_different_texts_have_different_meanings(one: str, other: str) -> None:
    assert not same(one, other)


def test_a_sentence_is_split_into_clauses() -> None:
    found = list(clauses("A crane has a long neck, red crown and white wings, with a grey back; its legs are black."))
    assert found == ["A crane has a long neck, red crown and white wings", "a grey back", "its legs are black"]
    assert list(clauses(".")) == []


def test_words_are_folded_and_split() -> None:
    assert words("The Brewer’s Red-winged BLACKBIRD's eye") == ["the", "brewer", "red", "winged", "blackbird", "eye"]
    assert [singular(word) for word in ("auklets", "geese", "finches", "bus", "grass", "iris", "striped")] == [
        "auklet",
        "goose",
        "finch",
        "bus",
        "grass",
        "iris",
        "striped",
    ]
    assert (lemma("striped"), lemma("wings"), lemma("grey")) == ("stripe", "wing", "gray")
