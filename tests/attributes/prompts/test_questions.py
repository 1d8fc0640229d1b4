"""Questions: the order of a pair, the slots of a strategy, and invalid combinations."""

from pathlib import Path
from typing import Any

import pytest

from attributes.prompts.questions import ImageFile, Question, questions_for_label
from attributes.types import Label
from tests.attributes.custom_strategies import PNG, custom_strategy

CRANE = Label("crane", "a bird")


def test_labels_with_the_same_name_are_distinguished_by_sense(tmp_path: Path) -> None:
    pairs = custom_strategy(tmp_path, about="pair")
    bird, machine = Label("crane", "bird"), Label("crane", "machine")
    assert Question(pairs, machine, other=bird) == Question(pairs, bird, other=machine)
    with pytest.raises(ValueError, match="cannot be contrasted with itself"):
        Question(pairs, bird, other=Label("crane", "bird"))


def test_a_pair_is_the_same_question_in_either_order(tmp_path: Path) -> None:
    pairs = custom_strategy(tmp_path, about="pair")
    one, other = Label("wren", "brown"), Label("Robin")
    question = Question(pairs, one, "birds", other=other)
    assert question == Question(pairs, other, "birds", other=one)
    assert (question.label, question.other) == (other, one)


def test_slots_are_ordered_by_question_text_then_sample(tmp_path: Path) -> None:
    strategy = custom_strategy(
        tmp_path, questions=["What colour is it?", "What shape is it?"], samples=2, temperature=0.7
    )
    questions = questions_for_label(strategy, CRANE)
    assert [(question.text[:10], question.sample) for question in questions] == [
        ("What colou", 0),
        ("What colou", 1),
        ("What shape", 0),
        ("What shape", 1),
    ]
    assert len(questions) == strategy.num_questions == 4


@pytest.mark.parametrize(
    ("about", "given", "message"),
    [
        ("label", {"other": Label("heron")}, "is about one label"),
        ("label", {"image": ImageFile(PNG)}, "is about one label"),
        ("label", {"text": "Why?"}, "has no questions"),
        ("pair", {}, "is about a pair of labels"),
        ("image", {}, "is about an image"),
    ],
)
def test_a_question_that_does_not_fit_the_strategy_is_refused(
    about: str, given: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        Question(custom_strategy(tmp_path, about=about), CRANE, **given)


def test_an_unknown_image_format_is_refused() -> None:
    with pytest.raises(ValueError, match="not a JPEG, PNG, GIF or WebP"):
        ImageFile(b"<svg/>")
