"""Classification with the student of a bundle, made with timm's smallest model."""

from pathlib import Path

import pytest
import torch

from limbeck.classify import load_student
from tests.limbeck.small_bundle import LABELS, pixels


def test_scores_are_the_softmax_at_the_bundles_temperature(bundle: Path, red: Path) -> None:
    student = load_student(bundle)
    found = student.classify(red, top=3)
    with torch.inference_mode():
        feature = torch.nn.functional.normalize(student.model(pixels(red)), dim=-1)
    expected = (feature @ student.targets.T / 0.1).softmax(dim=-1)[0]
    assert found[0][0] == "red thing"
    assert dict(found) == pytest.approx(
        {str(entry["label"]): float(score) for entry, score in zip(LABELS, expected, strict=True)}, abs=1e-4
    )
    assert found[0][1] > found[-1][1]


@pytest.mark.parametrize(
    ("among", "labels"),
    [("all", ["red thing", "blue thing", "odd thing"]), ("seen", ["red thing"]), ("unseen", ["blue thing"])],
)
def test_candidate_labels_are_all_seen_or_unseen(bundle: Path, among: str, labels: list[str]) -> None:
    assert list(load_student(bundle, among=among).labels) == labels
