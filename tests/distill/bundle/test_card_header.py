"""The header of a model card, as huggingface_hub reads it from a folder."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from distill.bundle.card_header import hub_model
from distill.bundle.model_card import model_card
from tests.distill.bundle.test_model_card import FACTS

SCORES = {"accuracy": 0.4256, "chance": 0.02, "num_labels": 50, "num_images": 7000}
NASTY = ["---", "a\n---\nlicense: mit\n---", "{key: [value", "- & * ! | > ' \" % @ `", "no", "鳥: #1"]


def loaded(folder: Path, **changes: Any) -> Any:
    (folder / "README.md").write_text(model_card(replace(FACTS, **changes)), encoding="utf-8")
    return huggingface_hub.ModelCard.load(folder / "README.md").data


def test_fields_of_an_evaluated_student(tmp_path: Path) -> None:
    data = loaded(tmp_path, evaluation={"text": "names", "id": {**SCORES, "top5": 0.75}, "ood": SCORES})
    assert (data.library_name, data.pipeline_tag) == ("timm", "zero-shot-image-classification")
    assert data.tags == ["timm", "open_clip", "limbeck"]
    assert data.base_model == "timm/vit_base_patch32_clip_224.openai"
    assert data.metrics == ["accuracy"]
    assert data.model_name == "resnet18"
    assert [(one.dataset_name, one.metric_name, one.metric_value) for one in data.eval_results] == [
        ("seen labels (held-out images)", "mean per-class accuracy", 0.4256),
        ("seen labels (held-out images)", "top-5 accuracy", 0.75),
        ("unseen labels", "mean per-class accuracy", 0.4256),
    ]
    assert {one.task_type for one in data.eval_results} == {"zero-shot-image-classification"}


def test_unknown_facts_are_left_out(tmp_path: Path) -> None:
    data = loaded(tmp_path, teacher="local-dir:/models/a: b # c", evaluation={})
    assert sorted(data.to_dict()) == ["library_name", "pipeline_tag", "tags"]


def test_labels_cannot_change_the_header(tmp_path: Path) -> None:
    plain = loaded(tmp_path).to_dict()
    assert loaded(tmp_path, labels=NASTY).to_dict() == plain
    assert (
        loaded(tmp_path, labels=[f"{label} {number}" for number in range(1000) for label in NASTY]).to_dict() == plain
    )
    assert loaded(tmp_path, teacher="local-dir:---\nlicense: mit").get("license") is None


@pytest.mark.parametrize(
    ("teacher", "name"),
    [
        ("ViT-B-32:openai", "timm/vit_base_patch32_clip_224.openai"),
        ("ViT-B-32:laion2b_s34b_b79k", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"),
        ("hf-hub:org/name", "org/name"),
        ("local-dir:/models/org/name", None),
    ],
)
def test_name_of_a_teacher_on_the_hub(teacher: str, name: str | None) -> None:
    assert hub_model(teacher) == name
