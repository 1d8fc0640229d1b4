"""The text arms: which there are, and which texts they have."""

import pytest

from distill.benefit.arms import build_arms
from distill.texts.text_templates import LabelAttributes
from tests.distill.examples import ATTRIBUTES, LABELS


def test_every_arm_that_the_attributes_allow_is_built() -> None:
    arms = {arm.name: arm for arm in build_arms(LABELS, ATTRIBUTES, concept="bird", seeds=range(3))}
    assert list(arms) == [
        "names",
        "names, concept",
        "waffle",
        "waffle, concept",
        "phrases of another label",
        "sentence",
        "phrases",
        "phrases_joined",
        "all",
        "sentence, concept",
        "phrases, concept",
        "phrases_joined, concept",
        "all, concept",
        "sentence, no name",
        "phrases, no name",
        "phrases_joined, no name",
        "all, no name",
    ]
    assert [len(arms[name].samples) for name in ("names", "waffle", "phrases")] == [1, 3, 1]
    assert "crane" not in " ".join(text for texts in arms["all, no name"].samples[0] for text in texts)
    assert arms["names, concept"].samples[0][1] == ("a photo of crane, a type of bird",)


def test_kinds_without_attributes_are_left_out() -> None:
    arms = build_arms(LABELS, [LabelAttributes("Red.")] * 4)
    assert [arm.name for arm in arms if arm.role == "attributes"] == ["sentence"]
    with pytest.raises(ValueError, match="no attributes for any label"):
        build_arms(LABELS, [LabelAttributes()] * 4)
