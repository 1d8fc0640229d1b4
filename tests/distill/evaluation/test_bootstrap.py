"""Bootstrap intervals: equal to plain resampling, seeded, and wider over labels than over images."""

import numpy as np
import pytest

from distill.evaluation import bootstrap
from distill.evaluation.bootstrap import (
    accuracy_draws,
    accuracy_intervals,
    harmonic_intervals,
    harmonic_mean,
    percentiles,
)

CORRECT, IMAGES = np.array([2, 10, 4, 9, 0, 7]), np.array([8, 10, 5, 12, 6, 9])


def resampled(over: str, replicates: int) -> list[float]:
    """The same distribution by resampling image by image."""
    random = np.random.default_rng(11)
    outcomes = [np.arange(n) < c for c, n in zip(CORRECT, IMAGES, strict=True)]
    means = []
    for _ in range(replicates):
        chosen = random.integers(6, size=6) if over == "labels" else np.arange(6)
        means.append(np.mean([random.choice(outcomes[at], len(outcomes[at])).mean() for at in chosen]))
    return means


@pytest.mark.parametrize("over", ["images", "labels"])
def test_binomial_replicates_are_distributed_like_resampled_images(over: bootstrap.Over) -> None:
    want = np.array(resampled(over, 3000))
    got = accuracy_draws(CORRECT, IMAGES, over, replicates=20_000)
    assert got.mean() == pytest.approx(want.mean(), abs=4 * want.std() / np.sqrt(3000))
    assert got.std() == pytest.approx(want.std(), rel=0.06)
    for share in (0.025, 0.975):
        assert np.quantile(got, share) == pytest.approx(np.quantile(want, share), abs=0.02)


def test_intervals_contain_the_accuracy_and_are_wider_over_labels() -> None:
    found = accuracy_intervals(CORRECT, IMAGES)
    accuracy = (CORRECT / IMAGES).mean()
    assert found.images[0] < accuracy < found.images[1]
    assert found.labels[0] < found.images[0]
    assert found.images[1] < found.labels[1]
    assert accuracy_intervals(CORRECT, IMAGES) == found
    assert accuracy_intervals(IMAGES, IMAGES).labels == (1.0, 1.0)


def test_replicates_in_batches_have_the_same_number_and_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = accuracy_draws(CORRECT, IMAGES, "labels", replicates=4000)
    monkeypatch.setattr(bootstrap, "SAMPLES_AT_ONCE", 6 * 300)
    pieces = accuracy_draws(CORRECT, IMAGES, "labels", replicates=4000)
    assert pieces.shape == (4000,)
    assert pieces.std() == pytest.approx(whole.std(), rel=0.1)
    assert len(np.unique(pieces[:300])) > 50


def test_intervals_of_the_harmonic_mean() -> None:
    accuracy = float(harmonic_mean(np.array(0.8), np.array(0.4)))
    assert accuracy == pytest.approx(2 / (1 / 0.8 + 1 / 0.4))
    assert float(harmonic_mean(np.array(0.0), np.array(0.0))) == 0
    found = harmonic_intervals(np.array([16, 16]), np.array([20, 20]), np.array([8, 8]), np.array([20, 20]))
    assert found.images[0] < accuracy < found.images[1]
    surest = harmonic_intervals(np.array([9]), np.array([9]), np.array([9]), np.array([9]))
    assert surest.images == surest.labels == (1.0, 1.0)


def test_percentiles_are_symmetric() -> None:
    assert percentiles(np.arange(1001) / 1000, level=0.9) == (pytest.approx(0.05), pytest.approx(0.95))


def test_labels_without_images_are_refused() -> None:
    for images in (np.array([], dtype=np.int64), np.array([3, 0])):
        with pytest.raises(ValueError, match="needs an image"):
            accuracy_draws(np.zeros_like(images), images, "images")
