"""Bootstrap intervals: as the plain resampling of images gives them, seeded, and wider over labels than over images."""

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

RIGHT, IMAGES = np.array([2, 10, 4, 9, 0, 7]), np.array([8, 10, 5, 12, 6, 9])


def resampled(over: str, replicates: int) -> list[float]:
    """The same by drawing images one by one."""
    random = np.random.default_rng(11)
    outcomes = [np.arange(n) < c for c, n in zip(RIGHT, IMAGES, strict=True)]
    means = []
    for _ in range(replicates):
        chosen = random.integers(6, size=6) if over == "labels" else np.arange(6)
        means.append(np.mean([random.choice(outcomes[at], len(outcomes[at])).mean() for at in chosen]))
    return means


@pytest.mark.parametrize("over", ["images", "labels"])
def test_draws_are_distributed_as_resampled_images_are(over: bootstrap.Over) -> None:
    want = np.array(resampled(over, 3000))
    got = accuracy_draws(RIGHT, IMAGES, over, replicates=20_000)
    assert got.mean() == pytest.approx(want.mean(), abs=4 * want.std() / np.sqrt(3000))
    assert got.std() == pytest.approx(want.std(), rel=0.06)
    for share in (0.025, 0.975):
        assert np.quantile(got, share) == pytest.approx(np.quantile(want, share), abs=0.02)


def test_intervals_hold_the_figure_and_are_wider_over_labels() -> None:
    found = accuracy_intervals(RIGHT, IMAGES)
    figure = (RIGHT / IMAGES).mean()
    assert found.images[0] < figure < found.images[1]
    assert found.labels[0] < found.images[0]
    assert found.images[1] < found.labels[1]
    assert accuracy_intervals(RIGHT, IMAGES) == found
    assert accuracy_intervals(IMAGES, IMAGES).labels == (1.0, 1.0)


def test_draws_in_pieces_are_as_many_and_as_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = accuracy_draws(RIGHT, IMAGES, "labels", replicates=4000)
    monkeypatch.setattr(bootstrap, "DRAWN_AT_ONCE", 6 * 300)
    pieces = accuracy_draws(RIGHT, IMAGES, "labels", replicates=4000)
    assert pieces.shape == (4000,)
    assert pieces.std() == pytest.approx(whole.std(), rel=0.1)
    assert len(np.unique(pieces[:300])) > 50


def test_the_harmonic_mean_has_intervals_of_its_own() -> None:
    figure = float(harmonic_mean(np.array(0.8), np.array(0.4)))
    assert figure == pytest.approx(2 / (1 / 0.8 + 1 / 0.4))
    assert float(harmonic_mean(np.array(0.0), np.array(0.0))) == 0
    found = harmonic_intervals(np.array([16, 16]), np.array([20, 20]), np.array([8, 8]), np.array([20, 20]))
    assert found.images[0] < figure < found.images[1]
    surest = harmonic_intervals(np.array([9]), np.array([9]), np.array([9]), np.array([9]))
    assert surest.images == surest.labels == (1.0, 1.0)


def test_percentiles_leave_as_much_on_either_side() -> None:
    assert percentiles(np.arange(1001) / 1000, level=0.9) == (pytest.approx(0.05), pytest.approx(0.95))


def test_labels_without_images_have_no_accuracy_to_draw() -> None:
    for images in (np.array([], dtype=np.int64), np.array([3, 0])):
        with pytest.raises(ValueError, match="needs an image"):
            accuracy_draws(np.zeros_like(images), images, "images")
