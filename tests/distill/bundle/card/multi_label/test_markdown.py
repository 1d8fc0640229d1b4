"""The card of a multi-label student: mAP, threshold, worst labels, limits, usage and metrics of the Hub."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from distill.bundle.card import plots
from distill.bundle.card.facts import CardFacts
from distill.bundle.card.model_card import model_card
from distill.bundle.write import _draw_plots
from distill.json_types import StudentEvaluation
from tests.distill.bundle.card.test_model_card import FACTS

SEEN = {
    "mean_ap": 0.812,
    "chance": 0.25,
    "num_labels": 2,
    "num_images": 40,
    "per_label": {"cat|dog": 0.9, "car": 0.724},
    "images_per_label": {"cat|dog": 30, "car": 9},
    "intervals": {"images": [0.75, 0.86], "labels": [0.6, 0.9]},
    "replicates": 1000,
    "decisions": {"precision": 0.7, "recall": 0.8, "f1": 0.747},
}
UNSEEN = {**SEEN, "mean_ap": 0.4, "num_labels": 1, "per_label": {"bus": 0.4}, "images_per_label": {"bus": 12}}
THRESHOLD = {
    "threshold": 0.2345,
    "slope": 9.0,
    "intercept": -2.0,
    "decisions": SEEN["decisions"],
    "num_images": 40,
    "num_labels": 2,
}
JOINT = {"id_mean_ap": 0.7, "ood_mean_ap": 0.3, "num_images": 60}


def evaluation(**changes: Any) -> StudentEvaluation:
    found: Any = {"id": SEEN, "ood": UNSEEN, "joint": JOINT, "threshold": THRESHOLD, **changes}
    of_teacher = {"id": {**SEEN, "mean_ap": 0.95}, "ood": None, "joint": None, "threshold": None}
    plain = {"text": "names", "id": None, "ood": None, "joint": None}
    teacher = {**plain, "run": "t", "multi_label": of_teacher}
    return cast(StudentEvaluation, {**plain, "multi_label": found, "teacher": [teacher]})


def facts(**changes: Any) -> CardFacts:
    return replace(FACTS, evaluation=evaluation(**changes), labels=["cat|dog", "car", "bus", "van"])


def test_the_table_has_student_teacher_chance_and_intervals() -> None:
    card = model_card(facts())
    assert "Mean average precision (mAP)" in card
    assert "Mean per-class accuracy" not in card
    assert "| **student** | names alone | 81.2% | 40.0% |" in card
    assert "| teacher | names alone | 95.0% |  |" in card
    assert "| chance |  | 25.0% | 25.0% |" in card
    assert "| 95% interval over other images of these labels |  | 75.0% to 86.0% | 75.0% to 86.0% |" in card


def test_threshold_and_joint_figures_are_sentences() -> None:
    text = " ".join(model_card(facts()).split())
    assert "With all 60 measured images ranked for every label: 70.0% on seen labels, 30.0% on unseen labels." in text
    assert "if their cosine is at least 0.2345: the threshold with the largest F1 on 40 held-out images" in text
    assert "precision is 70.0%, its recall 80.0%" in text
    assert "on unseen labels 70.0% and 80.0% (F1 74.7%)." in text
    without = " ".join(model_card(facts(threshold=None)).split())
    assert "too few held-out images to choose a threshold" in without


def test_weaknesses_name_the_worst_labels_and_what_was_not_measured() -> None:
    card = model_card(facts(ood=None, joint=None))
    assert "| car | 72.4% | 9 |" in card
    assert "cat\\|dog" in card
    assert "Average precision on labels that the training did not see was not measured." in card
    assert "1 label was measured on fewer than 10 images each" in card
    assert "2 of 4 labels have no image in the evaluation." in card
    assert "confusions.png" not in card


def test_the_program_prints_all_labels_above_the_threshold() -> None:
    card = model_card(facts())
    assert "(cosines >= 0.2345).nonzero()" in card
    (program,) = re.findall(r"### timm\n.*?```python\n(.*?)```", card, flags=re.DOTALL)
    compile(program, "card", "exec")
    assert "softmax" not in program
    assert "The `scores` compare the labels with each other." in model_card(replace(facts(), onnx=["image-uint8.onnx"]))


def test_the_hub_reads_average_precisions() -> None:
    header = yaml.safe_load(model_card(facts()).split("---\n")[1])
    assert header["metrics"] == ["average_precision"]
    metrics = [one["metrics"][0] for one in header["model-index"][0]["results"]]
    assert [(one["type"], one["name"], one["value"]) for one in metrics] == [
        ("average_precision", "mean average precision", 0.812),
        ("average_precision", "mean average precision", 0.4),
    ]


def test_the_plot_shows_average_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "log").write_text("")
    labels = []
    monkeypatch.setattr(plots, "save_figure", lambda figure, path: labels.extend(a.get_xlabel() for a in figure.axes))
    _draw_plots(tmp_path, tmp_path / "log", evaluation())
    assert labels == ["step", "average precision, %", "average precision, %"]


def test_the_int8_encoder_and_the_last_epochs_are_average_precisions() -> None:
    int8 = {"float32": 0.81, "int8": 0.79, "num_images": 40}
    onnx = {"method": "static", "num_calibration_images": 2, "mean_cosine": 0.9, "id": int8, "ood": None}
    last = {"epochs": [3], "id_accuracy": 0.8, "ood_accuracy": 0.375, "harmonic_mean": 0.5}
    measured = cast(StudentEvaluation, {**evaluation(), "onnx": onnx, "last_epochs": last})
    files = ["image-uint8.onnx", "image-int8.onnx"]
    card = model_card(replace(facts(), evaluation=measured, onnx=files))
    text = " ".join(card.split())
    assert "8-bit weights: mAP 79.0% (float32: 81.0%) on seen labels" in text
    assert "Mean over the last 1 epoch of the mean average precision: 80.0% on seen labels" in text
    header = yaml.safe_load(card.split("---\n")[1])
    metrics = [one["metrics"][0] for one in header["model-index"][0]["results"]]
    assert sum("int8" in one["name"] for one in metrics) == 1
    assert {one["type"] for one in metrics} == {"average_precision"}
