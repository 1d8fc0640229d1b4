"""Facts reach the card, and texts of others reach it as text only."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.bundle.model_card import escape, model_card
from distill.evaluation.accuracy import LastEpochs, evaluate

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


def test_what_an_evaluation_found_beyond_accuracy_is_told() -> None:
    random = torch.Generator().manual_seed(0)
    targets, features = torch.randn(6, 8, generator=random), torch.randn(60, 8, generator=random)
    found = evaluate(
        "names",
        features,
        np.arange(60) % 6,
        targets,
        names=list("abcdef"),
        id_labels=[0, 1, 2],
        ood_labels=[3, 4, 5],
        temperature=0.05,
        teacher_features=features,
    )
    last = LastEpochs(epochs=(5, 6), id_accuracy=0.251, ood_accuracy=0.333, harmonic_mean=0.2)
    card = model_card(**{**FACTS, "evaluation": dataclasses.replace(found, last_epochs=last).as_json()})
    assert found.id is not None
    assert found.ood is not None
    assert found.joint is not None
    for said in (
        f"| among the five best | {found.id.top5:.1%} | {found.ood.top5:.1%} |",
        f"| calibration error (15 bins, temperature 0.05) | {found.id.calibration.error:.1%} |",
        "| with the teacher: cosine of features | 1.000 | 1.000 |",
        f"{found.ood.intervals.labels[0]:.1%} to {found.ood.intervals.labels[1]:.1%}",
        f"Among all 6 labels at once: {found.joint.id_accuracy:.1%}",
        "last 2 epochs, as arXiv:2307.03135 reports: 25.1% on labels trained on (held-out images) and 33.3%",
    ):
        assert said in card
    assert "Among all" not in model_card(**FACTS)


def test_what_was_known_of_unseen_labels_is_said() -> None:
    config = {"data": {"protocol": "fine_tune", "shots": 5}, "objective": {"losses": {"unseen": 0.5}}}
    told = model_card(**{**FACTS, "made_from": {"config": config}})
    assert "tuned on the first 5 images of every unseen label" in told
    assert "told the texts of the unseen labels" in told
    usual = {"config": {"data": {"protocol": "zero_shot", "shots": 0}, "objective": {"losses": {"unseen": 0}}}}
    assert "of the unseen label" not in model_card(**{**FACTS, "made_from": usual})


def test_retrieval_has_a_row_of_its_own() -> None:
    part = {"accuracy": 0.5, "chance": 0.25, "num_labels": 4, "num_images": 8, "per_label": {}}
    evaluation = {"text": "names", "ood": part, "retrieval": {**part, "accuracy": 0.75}}
    told = model_card(**{**FACTS, "evaluation": evaluation})
    row = next(line for line in told.splitlines() if "with retrieval" in line)
    assert "75.0%" in row
