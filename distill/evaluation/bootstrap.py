"""Bootstrap percentile intervals of mean per-class accuracy (Efron 1979).

Two intervals answer two questions. `images`: the labels are fixed and each label's images are resampled with
replacement; this is the uncertainty about other images of the same labels. `labels`: labels are resampled with
replacement, then the images of each sampled label (two stages); this is the uncertainty about other labels, which
matters for unseen labels. Resampling n images of which c are correct gives a binomial count, so that all replicates are
one array operation. The same counts and seed give the same interval. K labels, R replicates.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

LEVEL = 0.95
REPLICATES = 1000
SEED = 0
SAMPLES_AT_ONCE = 4_000_000

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Over = Literal["images", "labels"]


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """Lower and upper bounds at level 0.95 of a share in 0..1. `images`, `labels`: what was resampled."""

    images: tuple[float, float]
    labels: tuple[float, float]


def accuracy_draws(
    correct: Counts, images: Counts, over: Over, *, replicates: int = REPLICATES, seed: int = SEED
) -> Floats:
    """Mean per-class accuracy in each of R replicates, (R,). `correct`, `images` (K,): counts by label.

    Raises ValueError for no label, or a label without images.
    """
    if len(images) == 0 or images.min() < 1:
        raise ValueError("each label needs an image, so that its accuracy can be resampled")
    random = np.random.default_rng([seed, over == "labels"])
    share = correct / images
    accuracies = np.empty(replicates)
    at_once = max(1, SAMPLES_AT_ONCE // len(images))
    for start in range(0, replicates, at_once):
        rows = min(at_once, replicates - start)
        sampled = np.arange(len(images))[None, :].repeat(rows, axis=0)  # (rows, K)
        if over == "labels":
            sampled = random.integers(len(images), size=(rows, len(images)))
        resampled = random.binomial(images[sampled], share[sampled]) / images[sampled]
        accuracies[start : start + rows] = resampled.mean(axis=1)
    return accuracies


def percentiles(values: Floats, *, level: float = LEVEL) -> tuple[float, float]:
    """Lower and upper bound of the middle `level` of the values."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def accuracy_intervals(correct: Counts, images: Counts) -> Intervals:
    """Both intervals of the mean over labels of correct / images; `correct`, `images` (K,)."""
    return Intervals(
        images=percentiles(accuracy_draws(correct, images, "images")),
        labels=percentiles(accuracy_draws(correct, images, "labels")),
    )


def harmonic_intervals(id_correct: Counts, id_images: Counts, ood_correct: Counts, ood_images: Counts) -> Intervals:
    """Both intervals of the harmonic mean of ID and OOD accuracy, resampled independently."""

    def bounds(over: Over) -> tuple[float, float]:
        id_accuracies = accuracy_draws(id_correct, id_images, over)
        ood_accuracies = accuracy_draws(ood_correct, ood_images, over, seed=SEED + 1)
        return percentiles(harmonic_mean(id_accuracies, ood_accuracies))

    return Intervals(images=bounds("images"), labels=bounds("labels"))


def harmonic_mean(first: Floats, second: Floats) -> Floats:
    """2ab / (a + b), and 0 if both are 0; for arrays and scalars."""
    total = np.asarray(first + second, dtype=np.float64)
    return np.divide(2 * np.asarray(first) * second, total, out=np.zeros_like(total), where=total > 0)
