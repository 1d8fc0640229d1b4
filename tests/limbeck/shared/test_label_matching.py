"""Which label of a vocabulary a published spelling means."""

import pytest

from limbeck.shared.label_matching import LabelIndex, dataset_form, is_identifier, loose_form, without_labels
from limbeck.shared.labels import LabelPair

LABELS: list[LabelPair] = [
    ("Black footed Albatross", None),
    ("Brandt Cormorant", None),
    ("Chuck will Widow", None),
    ("tench, Tinca tinca", None),
    ("goldfish, Carassius auratus", None),
    ("crème brûlée", None),
    ("fish & chips", None),
    ("hot dog", None),
    ("crane", "bird"),
    ("crane", "machine"),
    ("maize", "plant"),
    ("T-shirt", None),
    ("t shirt", None),
]


def matched(name: str, sense: str | None = None) -> list[str]:
    return [LABELS[at][0] for at in LabelIndex(LABELS).match(name, sense).positions]


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("Black-footed Albatross", ["Black footed Albatross"]),
        ("001.Black_footed_Albatross", ["Black footed Albatross"]),
        ("BLACK  FOOTED albatross", ["Black footed Albatross"]),
        ("Brandt's Cormorant", ["Brandt Cormorant"]),
        ("Brandt’s cormorant", ["Brandt Cormorant"]),
        ("Chuck-will's-widow", ["Chuck will Widow"]),
        ("tench", ["tench, Tinca tinca"]),
        ("Tinca tinca", ["tench, Tinca tinca"]),
        ("goldfish, golden carp", ["goldfish, Carassius auratus"]),
        ("creme brulee", ["crème brûlée"]),
        ("fish and chips", ["fish & chips"]),
        ("hotdog", ["hot dog"]),
        ("crane", ["crane", "crane"]),
        ("crane (machine)", ["crane"]),
        ("maize", ["maize"]),
        ("hot dog (food)", ["hot dog"]),
        ("T-shirt", ["T-shirt"]),
        ("t shirt", ["t shirt"]),
        ("cranes", []),
        ("crane (toy)", []),
        ("Albatross Black footed", []),
        ("", []),
        ("'", []),
    ],
)
def test_published_spellings_find_their_labels(name: str, labels: list[str]) -> None:
    assert matched(name) == labels


def test_a_name_that_fits_two_labels_is_ambiguous() -> None:
    match = LabelIndex(LABELS).match("T_Shirt")
    assert (match.positions, match.ambiguous) == ((), (11, 12))


def test_case_tells_labels_apart_that_are_otherwise_equal() -> None:
    index = LabelIndex([("Cardigan", "dog"), ("cardigan", "clothes")])
    assert [index.match(name).positions for name in ("Cardigan", "cardigan", "CARDIGAN")] == [(0,), (1,), (0, 1)]


def test_near_names() -> None:
    index = LabelIndex(LABELS)
    assert index.near("blackfooted albatros") == ["Black footed Albatross"]
    assert index.near("cranes")[:2] == ["crane (bird)", "crane (machine)"]
    assert index.near("zzz") == []


@pytest.mark.parametrize(
    "text", ["n02012849", "/m/011k07", "/g/11b", "Q42", "17", "a" * 11 + "1", "0f" * 16, "pug_1.jpg", "class_3"]
)
def test_identifiers(text: str) -> None:
    assert is_identifier(text)


@pytest.mark.parametrize("text", ["crane", "747-400", "3D printer", "n0", "Q-tip", "ak-47", "abcdefabcdef", ""])
def test_names_are_no_identifiers(text: str) -> None:
    assert not is_identifier(text)


def test_forms() -> None:
    assert dataset_form("012.Yellow_headed-Blackbird ") == "yellow headed blackbird"
    assert loose_form("St. Bernard's (dog)") == "st bernards dog"
    # A decimal is no number of a folder: else the images of one battery would silently be those of another.
    decimals = [dataset_form(name) for name in ("1.5 V battery", "2.5 V battery", "0.5 V battery", "12.5_V battery")]
    assert decimals == ["1.5 v battery", "2.5 v battery", "0.5 v battery", "12.5 v battery"]
    assert [dataset_form(name) for name in ("001.2CV", "3_3D printer", "4. crane")] == ["2cv", "3d printer", "crane"]
    years = ("100.2012 Dodge", "12.747-400")  # an id, and a name that begins with a number
    assert [dataset_form(name) for name in years] == ["2012 dodge", "747 400"]


def test_names_that_are_none_of_the_labels() -> None:
    names = ["stork", "Great_Tit", "crane", "Stork", "crane (toy)", "crane (bird)"]
    labels = ["crane (bird)", "crane (machine)", "great tit"]
    assert without_labels(names, labels) == ["stork", "crane (toy)"]
    assert without_labels([], labels) == []
