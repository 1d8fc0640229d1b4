"""Some images of each label with the prediction and the runner-up."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from distill.evaluation import samples
from distill.evaluation.samples import Predicted, sample_predictions, save_samples

NAMES = ["crane", "heron", "stork"]
TARGETS = torch.eye(3)
HERON, CRANE = [0.2, 1.0, 0.0], [1.0, 0.5, 9.0]


def _predicted(features: list[list[float]], labels: list[int], numbers: list[int] | None = None) -> Predicted:
    rows = np.arange(100, 100 + len(labels))
    parts = ((0, 1), (2,))
    of_images = None if numbers is None else np.array(numbers)
    return Predicted(torch.tensor(features), rows, np.array(labels), parts, of_images)


def test_mistakes_come_first_and_labels_of_the_other_part_are_no_guess() -> None:
    sure = [0.0, 1.0, 0.0]
    found = sample_predictions(
        _predicted([CRANE, HERON, sure, [0.0, 0.1, 1.0]], [0, 0, 0, 2]), TARGETS, NAMES, temperature=0.1
    )
    assert [(one.label, one.row, one.is_right) for one in found] == [
        ("crane", 102, False),
        ("crane", 101, False),
        ("crane", 100, True),
        ("stork", 103, True),
    ]
    assert [guess.label for guess in found[2].guesses] == ["crane", "heron"]  # not the stork, which is unseen
    logits = torch.nn.functional.normalize(torch.tensor(CRANE), dim=0)[:2] / 0.1
    assert [guess.confidence for guess in found[2].guesses] == pytest.approx(logits.softmax(0).tolist(), abs=1e-4)
    assert [guess.label for guess in found[3].guesses] == ["stork"]


def test_an_image_with_several_labels_is_right_under_each() -> None:
    found = sample_predictions(_predicted([HERON, HERON, HERON], [0, 1, 0], [7, 7, 8]), TARGETS, NAMES, temperature=0.1)
    assert [(one.row, one.is_right) for one in found] == [(102, False), (100, True), (101, True)]


def test_their_number_is_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    predicted = _predicted([HERON] * 40, [0] * 20 + [1] * 20)
    found = sample_predictions(predicted, TARGETS, NAMES, temperature=0.1)
    assert [one.label for one in found] == ["crane"] * 12 + ["heron"] * 12
    monkeypatch.setattr(samples, "MAX_SAMPLES", 7)
    few = sample_predictions(predicted, TARGETS, NAMES, temperature=0.1)
    assert [one.label for one in few] == ["crane"] * 3 + ["heron"] * 3
    save_samples(tmp_path / "samples.jsonl", few)
    lines = (tmp_path / "samples.jsonl").read_text().splitlines()
    assert json.loads(lines[0])[:3] == ["crane", few[0].row, False]
    assert json.loads(lines[0])[3][0][0] == "heron"
