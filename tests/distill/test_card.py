"""Facts reach the card, and texts of others reach it as text only."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.card import escape, model_card

FACTS = {
    "student": "resnet18",
    "parameters": 11_439_168,
    "width": 512,
    "model_args": {},
    "preprocess": {"size": [224, 224], "crop_pct": 1.0},
    "teacher": "ViT-B-32:openai",
    "labels": ["crane"],
    "num_shortened": 0,
    "evaluation": {"text": "names"},
    "made_from": {"dataset": {"digest": "cafe", "images": 6}, "vocabulary": "beef"},
    "resized": False,
    "wants_transformers": False,
}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a plain text", "a plain text"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp\\;"),
        ("[a](b)", "\\[a\\]\\(b\\)"),
        ("line\n\n# two", "line \\# two"),
        ("https://x.y", "https\\:\\/\\/x\\.y"),
        ("a|b", "a\\|b"),
        ("Äpfel 鳥", "Äpfel 鳥"),
        ("\u202egnp", "gnp"),
    ],
)
def test_markup_is_shown_as_it_was_written(text: str, shown: str) -> None:
    assert escape(text) == shown


@settings(max_examples=50)
@given(st.text())
def test_no_text_leaves_its_line_or_opens_a_tag(text: str) -> None:
    shown = escape(text)
    assert len(shown.splitlines()) <= 1
    assert "<" not in shown
    assert ">" not in shown


def test_the_facts_are_in_it() -> None:
    card = model_card(**{**FACTS, "labels": [f"label {n}" for n in range(1000)], "num_shortened": 3})
    for fact in (
        "11,439,168",
        "224 × 224",
        "512 numbers",
        "names alone",
        "label 7 and 992 more",
        "left out, are told there: 3",
    ):
        assert fact in card
    for row in ("| dataset\\.digest | cafe |", "| dataset\\.images | 6 |", "| vocabulary | beef |"):
        assert row in card


def test_arguments_that_build_the_student_are_in_its_code() -> None:
    card = model_card(**{**FACTS, "model_args": {"img_size": 64}, "resized": True})
    assert 'timm.create_model("resnet18", num_classes=512, img_size=64, checkpoint_path=' in card
    assert "set_input_size(224)" in card


def test_what_else_must_be_installed_is_said() -> None:
    assert "transformers library" in model_card(**{**FACTS, "wants_transformers": True})
    assert "transformers library" not in model_card(**FACTS)


def test_a_text_kind_nobody_told_of_and_missing_parts() -> None:
    assert "It was not evaluated." in model_card(**{**FACTS, "evaluation": {}})
    assert "| labels' texts | not told |" in model_card(**{**FACTS, "evaluation": {}})


def test_the_accuracies_stand_beside_the_teachers_and_chance() -> None:
    scores = {"accuracy": 0.4256, "chance": 0.02, "num_labels": 50, "num_images": 7000}
    teacher = {"text": "names", "id": None, "ood": {**scores, "accuracy": 0.875}}
    card = model_card(**{**FACTS, "evaluation": {"text": "phrases", "id": None, "ood": scores, "teacher": [teacher]}})
    for row in (
        "|  | texts | labels never seen |",
        "| **student** | names, each with phrases on how it looks, averaged | 42.6% |",
        "| teacher | names alone | 87.5% |",
        "| chance |  | 2.0% |",
        "| images |  | 7,000 |",
    ):
        assert row in card
    assert "held-out" not in card
