"""Model card: its facts, its tables, and the escaping of texts from users."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.bundle.card.facts import CardFacts, escape
from distill.bundle.card.model_card import model_card
from distill.evaluation.accuracy import LastEpochs, evaluate

FACTS = CardFacts(
    student="resnet18",
    num_parameters=11_439_168,
    width=512,
    preprocess={"size": [224, 224], "crop_pct": 1.0},
    teacher="ViT-B-32:openai",
    labels=["crane"],
    evaluation={"text": "names"},
    made_from={
        "dataset": {"id": "dst_1", "digest": "c" * 64},
        "vocabulary": "b" * 64,
        "digests": {"dataset": "c" * 64, "texts": "a" * 64},
        "teacher": {"ref": "ViT-B-32:openai", "digest": "d" * 64, "preprocess_digest": "e" * 64},
        "versions": {"timm": "1.0"},
    },
)


def card_with(**changes: Any) -> str:
    return model_card(replace(FACTS, **changes))


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
def test_markup_is_escaped(text: str, shown: str) -> None:
    assert escape(text) == shown


@settings(max_examples=50)
@given(st.text())
def test_escaped_text_is_one_line_without_tags(text: str) -> None:
    shown = escape(text)
    assert len(shown.splitlines()) <= 1
    assert "<" not in shown
    assert ">" not in shown


def test_card_contains_the_facts() -> None:
    card = card_with(labels=[f"label {n}" for n in range(1000)], num_shortened=3)
    for fact in (
        "11,439,168",
        "224 × 224",
        "512 numbers",
        "names alone",
        "label 7 and 992 more",
        " 3 texts longer than the teacher's context were shortened",
    ):
        assert fact in card


def test_inputs_with_their_digests() -> None:
    lines = model_card(FACTS).splitlines()
    start = lines.index("| input | id | digest |")
    assert lines[start + 2 : start + 8] == [
        f"| dataset | dst\\_1 | `{'c' * 64}` |",
        f"| preprocessing of the teacher |  | `{'e' * 64}` |",
        f"| prompts \\(the encoded texts\\) |  | `{'a' * 64}` |",
        f"| teacher | ViT\\-B\\-32\\:openai | `{'d' * 64}` |",
        f"| vocabulary |  | `{'b' * 64}` |",
        "",
    ]
    assert "Written with timm 1\\.0." in lines


def test_model_arguments_are_in_the_code() -> None:
    card = card_with(model_args={"img_size": 64}, pairing="own_tower")
    assert 'timm.create_model("resnet18", num_classes=512, img_size=64, checkpoint_path=' in card
    assert 'model.visual.trunk = timm.create_model("resnet18", num_classes=512, img_size=64)' in card


def test_card_names_the_transformers_library_if_needed() -> None:
    assert "transformers library" in card_with(needs_transformers=True)
    assert "transformers library" not in model_card(FACTS)


def test_unknown_text_kind_and_missing_parts() -> None:
    assert "The student was not evaluated." in card_with(evaluation={})
    assert "| texts of labels | unknown |" in card_with(evaluation={})


def test_table_compares_student_teacher_and_chance() -> None:
    scores = {"accuracy": 0.4256, "chance": 0.02, "num_labels": 50, "num_images": 7000, "per_label": {}}
    teacher = {"text": "names", "id": None, "ood": {**scores, "accuracy": 0.875}}
    card = card_with(evaluation={"text": "phrases", "id": None, "ood": scores, "teacher": [teacher]})
    for row in (
        "|  | texts | unseen labels |",
        "| **student** | names, each with phrases on how it looks, averaged | 42.6% |",
        "| teacher | names alone | 87.5% |",
        "| chance |  | 2.0% |",
        "| images |  | 7,000 |",
    ):
        assert row in card
    assert "seen labels (held-out" not in card


def test_metrics_beyond_accuracy() -> None:
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
    card = card_with(evaluation=replace(found, last_epochs=last).as_json())
    assert found.id is not None
    assert found.ood is not None
    assert found.joint is not None
    for text in (
        f"| top-1 accuracy over images | {found.id.accuracy:.1%} | {found.ood.accuracy:.1%} |",
        f"| top-5 accuracy | {found.id.top5:.1%} | {found.ood.top5:.1%} |",
        f"| calibration error (15 bins, temperature 0.05) | {found.id.calibration.error:.1%} |",
        "| agreement with the teacher: cosine of features | 1.000 | 1.000 |",
        f"{found.ood.intervals.labels[0]:.1%} to {found.ood.intervals.labels[1]:.1%}",
        f"Among all 6 labels at once: {found.joint.id_accuracy:.1%}",
        "last 2 epochs, as arXiv:2307.03135 reports: 25.1% on seen labels (held-out images) and 33.3%",
    ):
        assert text in card
    assert "Among all" not in model_card(FACTS)


def test_card_states_the_use_of_unseen_labels() -> None:
    config = {"data": {"protocol": "fine_tune", "shots": 5}, "objective": {"losses": {"unseen": 0.5}}}
    card = card_with(made_from={"config": config})
    assert "fine-tuned on the first 5 images of every unseen label" in card
    assert "used the texts of the unseen labels" in card
    zero_shot = {"config": {"data": {"protocol": "zero_shot", "shots": 0}, "objective": {"losses": {"unseen": 0}}}}
    assert "of the unseen label" not in card_with(made_from=zero_shot)


def test_retrieval_has_its_own_row() -> None:
    part = {"accuracy": 0.5, "chance": 0.25, "num_labels": 4, "num_images": 8, "per_label": {}}
    evaluation = {"text": "names", "ood": part, "retrieval": {**part, "accuracy": 0.75}}
    card = card_with(evaluation=evaluation)
    row = next(line for line in card.splitlines() if "with retrieval" in line)
    assert "75.0%" in row
