"""Closest names: most similar first, none below the least similarity."""

from distill.config.closest_names import closest_names

KNOWN = ["resnet18", "resnet34", "vit_tiny", "epochs"]


def test_similar_names_are_listed_most_similar_first() -> None:
    assert closest_names("resnet81", KNOWN) == ["resnet18", "resnet34"]
    assert closest_names("resnet81", KNOWN, limit=1) == ["resnet18"]


def test_a_name_like_no_other_has_no_closest_names() -> None:
    assert closest_names("zzzz", KNOWN) == []
