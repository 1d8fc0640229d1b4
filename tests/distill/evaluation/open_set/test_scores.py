"""The scores by their formulas, in float64 and one image at a time."""

import math

import numpy as np
import pytest
import torch

from distill.evaluation.open_set import scores
from distill.evaluation.open_set.scores import OUTLIER_WEIGHT, open_set_scores

TEMPERATURE = 0.07


def drawn(num: int, seed: int) -> torch.Tensor:
    return torch.randn(num, 6, generator=torch.Generator().manual_seed(seed))


def cosines(a: torch.Tensor, b: torch.Tensor) -> list[list[float]]:
    return [[float(torch.dot(x, y) / x.norm() / y.norm()) for y in b.double()] for x in a.double()]


def test_each_score_is_its_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    images, texts, outliers = drawn(9, 0), drawn(4, 1), drawn(5, 2)
    monkeypatch.setattr(scores, "ELEMENTS_AT_ONCE", 18)  # two images at a time
    found = open_set_scores(images, texts, temperature=TEMPERATURE, outliers=outliers)
    for row, (known, unknown) in enumerate(zip(cosines(images, texts), cosines(images, outliers), strict=True)):
        exponentials = [math.exp(value / TEMPERATURE) for value in (*known, *unknown)]
        shares = [value / sum(exponentials) for value in exponentials]
        assert found["cosine"][row] == pytest.approx(max(known), abs=1e-6)
        energy = TEMPERATURE * math.log(sum(math.exp(value / TEMPERATURE) for value in known))
        assert found["energy"][row] == pytest.approx(energy, abs=1e-6)
        expected = max(shares[:4]) - OUTLIER_WEIGHT * max(shares[4:])
        assert found["outliers"][row] == pytest.approx(expected, abs=1e-5)


def test_an_image_of_an_outlier_has_a_low_score() -> None:
    texts, outliers = torch.eye(4)[:2], torch.eye(4)[2:3]
    found = open_set_scores(torch.eye(4), texts, temperature=TEMPERATURE, outliers=outliers)["outliers"]
    assert np.argmin(found) == 2
    assert found[2] < 0 < found[0]


def test_without_outliers_there_is_no_score_of_them() -> None:
    assert set(open_set_scores(drawn(3, 0), drawn(4, 1), temperature=TEMPERATURE)) == {"cosine", "energy"}
