"""How far an accuracy could be off by chance: bootstrap intervals of mean per-class accuracy (Efron 1979), percentiles.

Two of them, because they answer two questions. Over `images`: the labels stay, each label's images are drawn again
with replacement; had we other pictures of these labels. Over `labels`: the labels are drawn again with replacement,
and within each drawn label its images (two stages); had we other labels of this kind, which is what is asked of labels
never seen. Drawing n images of a label of which c are right gives a binomial count, so that no image need be touched,
and the draws of a thousand replicates are one array operation. Seeded: the same counts give the same interval.
K labels, R replicates.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

LEVEL = 0.95
REPLICATES = 1000
SEED = 0
DRAWN_AT_ONCE = 4_000_000

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.integer[Any]]
Over = Literal["images", "labels"]


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """Lower and upper bound at level 0.95, of a share in 0..1. `images`, `labels`: what was drawn again."""

    images: tuple[float, float]
    labels: tuple[float, float]


def accuracy_draws(
    right: Counts, images: Counts, over: Over, *, replicates: int = REPLICATES, seed: int = SEED
) -> Floats:
    """Mean per-class accuracy in each of R replicates, (R,); `right` and `images` (K,) count by label, images above 0.

    Raises ValueError for no label, or a label without images.
    """
    if len(images) == 0 or images.min() < 1:
        raise ValueError("each label needs an image for its accuracy to be drawn again")
    random = np.random.default_rng([seed, over == "labels"])
    share = right / images
    draws = np.empty(replicates)
    at_once = max(1, DRAWN_AT_ONCE // len(images))
    for start in range(0, replicates, at_once):
        rows = min(at_once, replicates - start)
        chosen: Any = np.arange(len(images))[None, :].repeat(rows, axis=0)  # (rows, K)
        if over == "labels":
            chosen = random.integers(len(images), size=(rows, len(images)))
        counted = random.binomial(images[chosen], share[chosen]) / images[chosen]
        draws[start : start + rows] = counted.mean(axis=1)
    return draws


def percentiles(draws: Floats, *, level: float = LEVEL) -> tuple[float, float]:
    """The middle `level` of the draws, as its lower and upper bound."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def accuracy_intervals(right: Counts, images: Counts) -> Intervals:
    """Both intervals of the mean over labels of right / images, (K,) each."""
    return Intervals(
        images=percentiles(accuracy_draws(right, images, "images")),
        labels=percentiles(accuracy_draws(right, images, "labels")),
    )


def harmonic_intervals(id_right: Counts, id_images: Counts, ood_right: Counts, ood_images: Counts) -> Intervals:
    """Both intervals of the harmonic mean of two accuracies over labels that are not the same, drawn independently."""

    def bounds(over: Over) -> tuple[float, float]:
        seen = accuracy_draws(id_right, id_images, over)
        unseen = accuracy_draws(ood_right, ood_images, over, seed=SEED + 1)
        return percentiles(harmonic_mean(seen, unseen))

    return Intervals(images=bounds("images"), labels=bounds("labels"))


def harmonic_mean(first: Floats, second: Floats) -> Floats:
    """2ab / (a + b), 0 where both are 0; arrays or numbers alike."""
    both = np.asarray(first + second, dtype=np.float64)
    return np.divide(2 * np.asarray(first) * second, both, out=np.zeros_like(both), where=both > 0)
