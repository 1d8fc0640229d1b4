"""Identifiers and numbers that count labels."""

import pytest

from limbeck.shared.label_files.identifiers import (
    are_increasing,
    are_years,
    common_kind,
    id_kind,
    is_dense,
)

NAMES = "crane|Boeing 737-200|A300B4|C-130|Q7|7-Eleven|F#|R.E.M.|and/or|deadbeef|no. 7|class 7|v1.0 logo|x.y"


@pytest.mark.parametrize("name", NAMES.split("|"))
def test_names_are_no_identifiers(name: str) -> None:
    assert id_kind(name) is None


def test_the_common_kind() -> None:
    assert common_kind(["n01440764", "n01443537"]) == "wnid"
    assert common_kind(["n01440764", "12"]) == "mixed"
    assert common_kind(["n01440764", "tench"]) is None
    assert common_kind([]) is None


def test_numbers_that_count() -> None:
    assert is_dense([1, 3, 2])
    assert not is_dense([1])
    assert not is_dense([0, 0, 1])
    assert not is_dense([2, 3, 4])
    assert not is_dense([0, 100])
    assert are_increasing([1, 5, 9])
    assert not are_increasing([1, 1])
    assert are_years([1998, 2024])
    assert not are_years([12, 2024])
