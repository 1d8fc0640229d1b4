"""Hits and gains equal plain loops and formulas; the verdict follows the interval."""

import numpy as np
import pytest
import torch

from distill.benefit.metrics import EvaluationImages, Gain, bootstrap_gain, label_gains, measure_hits, verdict


def test_hits_and_gains_equal_plain_loops() -> None:
    random = np.random.default_rng(0)
    features, labels = torch.randn(60, 8), random.choice([1, 2, 4], size=60)
    targets = [torch.randn(5, 8) for _ in range(2)]
    images = EvaluationImages(features=features, labels=labels, subset=(1, 2, 4))
    hits = measure_hits(images, targets)
    shares = []
    for row, label in zip(features.double(), labels, strict=True):
        right = 0
        for texts in targets:
            cosines = {at: float(row @ texts[at].double() / texts[at].double().norm()) for at in (1, 2, 4)}
            right += max(cosines, key=cosines.__getitem__) == label
        shares.append(right / 2)
    assert hits.shares.tolist() == shares
    per_label = {at: np.mean([s for s, label in zip(shares, labels, strict=True) if label == at]) for at in (1, 2, 4)}
    assert np.mean(hits.draws) == pytest.approx(np.mean(list(per_label.values())))
    constant = measure_hits(images, [torch.zeros(5, 8)])
    gain = bootstrap_gain(hits.shares - constant.shares, labels)
    by_label = label_gains(hits, constant, labels, [f"label {at}" for at in range(5)])
    assert gain.mean == pytest.approx(np.mean(list(by_label.values())))
    assert list(by_label.values()) == sorted(by_label.values(), reverse=True)


def test_interval_width_follows_the_formula() -> None:
    labels = np.repeat(np.arange(40), 50)
    values = np.random.default_rng(1).choice([-1.0, 0.0, 1.0], p=[0.1, 0.5, 0.4], size=len(labels))
    gain = bootstrap_gain(values, labels)
    error = values.std() / np.sqrt(len(values))
    assert gain.mean == pytest.approx(values.mean())
    assert (gain.images[1] - gain.images[0]) / 2 == pytest.approx(1.96 * error, rel=0.15)
    assert gain.labels[1] - gain.labels[0] > gain.images[1] - gain.images[0]
    assert bootstrap_gain(np.zeros(len(labels)), labels) == Gain(mean=0.0, images=(0.0, 0.0), labels=(0.0, 0.0))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.01, 0.2, "help more than Waffle:"), (-0.1, 0.2, "Not decided"), (-0.2, -0.01, "attributes harm")],
)
def test_verdict_follows_the_interval(low: float, high: float, expected: str) -> None:
    sentence = verdict("phrases", "ood", Gain(mean=(low + high) / 2, images=(low, high), labels=(low, high)))
    assert expected in sentence
    assert f"{100 * low:+.1f} to {100 * high:+.1f}" in sentence
