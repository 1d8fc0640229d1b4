"""Words and their meaning: what is the same said otherwise, and what is not."""

import pytest

from attributes.gates.lemmas import clauses, lemma, meaning, singular, words


def same(one: str, other: str) -> bool:
    """Whether two labels that say these share an attribute."""
    first, second = meaning(one), meaning(other)
    bound = first.chunks == second.chunks or first.single or second.single
    return first.bag == second.bag and bound


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
def test_a_paraphrase_is_no_new_attribute(one: str, other: str) -> None:
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
def test_what_differs_is_not_the_same(one: str, other: str) -> None:
    assert not same(one, other)


def test_a_sentence_falls_into_what_it_says() -> None:
    said = list(clauses("A crane has a long neck, red crown and white wings, with a grey back; its legs are black."))
    assert said == ["A crane has a long neck, red crown and white wings", "a grey back", "its legs are black"]
    assert list(clauses(".")) == []


def test_words_are_folded_and_parted() -> None:
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
