"""The header of a model card, as huggingface_hub reads it from a folder."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results

from distill.bundle.card.hub_names import hub_model, initial_model
from distill.bundle.card.model_card import model_card
from tests.distill.bundle.card.test_model_card import FACTS

BINS = [
    {"confidence": 0.5, "accuracy": 0.25, "num_images": 4000, "low": 0.4, "high": 0.6},
    {"confidence": 0.9, "accuracy": 0.75, "num_images": 1000, "low": 0.8, "high": 1.0},
]
CALIBRATION = {"error": 0.1, "num_bins": 15, "temperature": 0.07, "bins": BINS}
INTERVALS = {"images": [0.4, 0.5], "labels": [0.3, 0.6]}
SCORES = {
    "accuracy": 0.4256,
    "chance": 0.02,
    "num_labels": 50,
    "num_images": 5000,
    "per_label": {},
    "intervals": INTERVALS,
}
NASTY = ["---", "a\n---\nlicense: mit\n---", "{key: [value", "- & * ! | > ' \" % @ `", "no", "鳥: #1"]
PUBLISHED = {"source": "timm/resnet18.a1_in1k", "file": "model.safetensors", "license": "apache-2.0"}


def loaded(folder: Path, **changes: Any) -> Any:
    (folder / "README.md").write_text(model_card(replace(FACTS, **changes)), encoding="utf-8")
    return huggingface_hub.ModelCard.load(folder / "README.md").data


def test_fields_of_an_evaluated_student(tmp_path: Path) -> None:
    measured = {**SCORES, "top5": 0.75, "calibration": CALIBRATION}
    joint = {"harmonic_mean": 0.375, "id_accuracy": 0.3, "ood_accuracy": 0.5, "num_labels": 100, "chance": 0.01}
    evaluation = {"text": "names", "id": measured, "ood": SCORES, "joint": {**joint, "harmonic_intervals": INTERVALS}}
    evaluation["onnx"] = {"id": {"float32": 0.4256, "int8": 0.4125, "num_images": 5000}, "ood": None}
    data = loaded(tmp_path, evaluation=evaluation, onnx=["image.onnx"])
    assert (data.library_name, data.pipeline_tag) == ("timm", "zero-shot-image-classification")
    assert data.tags == ["timm", "open_clip", "onnx", "distillation", "limbeck"]
    assert data.base_model == "timm/vit_base_patch32_clip_224.openai"
    assert data.metrics == ["accuracy"]
    assert data.model_name == "resnet18"
    assert [(one.dataset_split, one.metric_name, one.metric_value) for one in data.eval_results] == [
        ("id", "mean per-class accuracy", 0.4256),
        ("id", "top-1 accuracy", 0.35),
        ("id", "top-5 accuracy", 0.75),
        ("id", "mean per-class accuracy, int8 (onnx/image-int8.onnx)", 0.4125),
        ("ood", "mean per-class accuracy", 0.4256),
        ("id+ood", "harmonic mean of the accuracies on seen and unseen labels", 0.375),
    ]
    assert {one.task_type for one in data.eval_results} == {"zero-shot-image-classification"}
    assert {one.dataset_revision for one in data.eval_results} == {"c" * 64}
    index = huggingface_hub.metadata_load(tmp_path / "README.md")["model-index"]
    assert eval_results_to_model_index(*model_index_to_eval_results(index)) == index


def test_unknown_facts_are_left_out(tmp_path: Path) -> None:
    data = loaded(tmp_path, teacher="local-dir:/models/a: b # c", evaluation={}, pairing=None)
    assert data.to_dict() == {
        "library_name": "timm",
        "license": "other",
        "license_name": "not-chosen",
        "pipeline_tag": "zero-shot-image-classification",
        "tags": ["timm", "distillation", "limbeck"],
    }


def test_published_initial_weights_are_a_base_model_too(tmp_path: Path) -> None:
    data = loaded(tmp_path, made_from={"initial_weights": PUBLISHED})
    assert data.base_model == ["timm/vit_base_patch32_clip_224.openai", "timm/resnet18.a1_in1k"]
    assert data.license == "apache-2.0"


def test_the_config_names_licence_and_data_sets(tmp_path: Path) -> None:
    card = {"license": "cc-by-4.0", "datasets": ["org/birds"]}
    data = loaded(tmp_path, made_from={"initial_weights": PUBLISHED, "config": {"bundle": card}})
    assert (data.license, data.datasets) == ("cc-by-4.0", ["org/birds"])


def test_labels_cannot_change_the_header(tmp_path: Path) -> None:
    plain = loaded(tmp_path).to_dict()
    assert loaded(tmp_path, labels=NASTY).to_dict() == plain
    assert (
        loaded(tmp_path, labels=[f"{label} {number}" for number in range(1000) for label in NASTY]).to_dict() == plain
    )
    assert loaded(tmp_path, teacher="local-dir:---\nlicense: mit").license == "other"


@pytest.mark.parametrize(
    ("teacher", "name"),
    [
        ("ViT-B-32:openai", "timm/vit_base_patch32_clip_224.openai"),
        ("ViT-B-32:laion2b_s34b_b79k", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"),
        ("hf-hub:org/name", "org/name"),
        ("hf-hub:org/name@main", "org/name"),
        ("local-dir:/models/org/name", None),
    ],
)
def test_name_of_a_teacher_on_the_hub(teacher: str, name: str | None) -> None:
    assert hub_model(teacher) == name


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("timm/resnet18.a1_in1k", "timm/resnet18.a1_in1k"),
        ("hf-hub:org/name", "org/name"),
        ("timm/own/weights.safetensors", None),
        ("random", None),
    ],
)
def test_name_of_initial_weights_on_the_hub(source: str, name: str | None) -> None:
    assert initial_model({"source": source}) == name
