"""Accuracies of the arms, gains over the names and over the control, and the verdict, with bootstrap intervals.

The verdict is about one attribute arm, chosen on held-out images of seen labels; unseen labels choose nothing. Gains
are paired: both arms classify the same images, and the bootstrap resamples the difference of correctness per image.
N images, K labels, D embedding width, R replicates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from distill.data.counter_rng import Ints
from distill.evaluation.bootstrap import REPLICATES, SAMPLES_AT_ONCE, SEED, percentiles

Floats = npt.NDArray[np.float64]
Part = Literal["id", "ood"]
PARTS: tuple[Part, ...] = ("id", "ood")
CHUNK_ROWS = 8192


@dataclass(frozen=True, kw_only=True)
class EvaluationImages:
    """Images of a part: the teacher's `features` (N, D) and the `labels` (N,); `subset`: the labels to choose from."""

    features: Tensor
    labels: Ints
    subset: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Gain:
    """Difference of mean per-class accuracy (a share in -1..1) with its 95% bootstrap intervals.

    `images`: resampling the images of these labels. `labels`: resampling the labels too.
    """

    mean: float
    images: tuple[float, float]
    labels: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class ArmResult:
    """Accuracy of an arm on a part. `draws`: the accuracy of each seed; `accuracy` is their mean.

    `over_control` is None for the control itself.
    """

    accuracy: float
    draws: tuple[float, ...]
    over_names: Gain
    over_control: Gain | None


@dataclass(frozen=True, eq=False)
class Hits:
    """How often an arm is right: `shares` (N,) of the seeds, for each image; `draws`, the accuracy of each seed."""

    shares: Floats
    draws: tuple[float, ...]


def measure_hits(images: EvaluationImages, samples: Sequence[Tensor]) -> Hits:
    """Classify the images among the part's labels; `samples`: for each seed the text features (K, D) of all labels."""
    subset = np.asarray(images.subset)
    truth = np.searchsorted(subset, images.labels)
    right = np.stack([_is_right(images.features, targets[torch.from_numpy(subset)], truth) for targets in samples])
    return Hits(right.mean(axis=0), tuple(_per_class_mean(one, images.labels) for one in right))


def _is_right(features: Tensor, targets: Tensor, truth: Ints) -> Floats:
    """1.0 for each image whose most similar text is the one at `truth`, else 0.0: (N,)."""
    texts = F.normalize(targets.float(), dim=-1)
    chunks = [
        F.normalize(features[start : start + CHUNK_ROWS].float(), dim=-1) @ texts.T
        for start in range(0, len(features), CHUNK_ROWS)
    ]
    predicted = torch.cat([chunk.argmax(dim=1) for chunk in chunks]).numpy()
    right: Floats = (predicted == truth).astype(np.float64)
    return right


def _per_class_mean(values: Floats, labels: Ints) -> float:
    return float(np.mean(_means_by_label(values, labels)[1]))


def _means_by_label(values: Floats, labels: Ints) -> tuple[Ints, Floats]:
    """The labels that have images, and the mean value of each."""
    present, place = np.unique(labels, return_inverse=True)
    return present, np.bincount(place, weights=values) / np.bincount(place)


def bootstrap_gain(values: Floats, labels: Ints) -> Gain:
    """The mean over labels of the differences per image `values` (N,), with both intervals."""
    order = np.argsort(labels, kind="stable")
    values, labels = values[order], labels[order]
    _, counts = np.unique(labels, return_counts=True)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    random = np.random.default_rng(SEED)
    by_images, by_labels = np.empty(REPLICATES), np.empty(REPLICATES)
    first_row, num_rows = np.repeat(starts, counts), np.repeat(counts, counts)
    at_once = max(1, SAMPLES_AT_ONCE // len(values))
    for start in range(0, REPLICATES, at_once):
        size = min(at_once, REPLICATES - start)
        # Resample the images of each label with replacement, then the labels.
        rows = first_row + (random.random((size, len(values))) * num_rows).astype(np.int64)  # (R, N)
        means = np.add.reduceat(values[rows], starts, axis=1) / counts  # (R, K)
        by_images[start : start + size] = means.mean(axis=1)
        resampled = random.integers(len(counts), size=(size, len(counts)))
        by_labels[start : start + size] = np.take_along_axis(means, resampled, axis=1).mean(axis=1)
    mean = float((np.add.reduceat(values, starts) / counts).mean())
    return Gain(mean=mean, images=percentiles(by_images), labels=percentiles(by_labels))


def compare_arm(arm: Hits, names: Hits, control: Hits | None, labels: Ints) -> ArmResult:
    """The accuracy of an arm and its gains over the names and over the control (None for the control itself)."""
    return ArmResult(
        accuracy=_per_class_mean(arm.shares, labels),
        draws=arm.draws,
        over_names=bootstrap_gain(arm.shares - names.shares, labels),
        over_control=None if control is None else bootstrap_gain(arm.shares - control.shares, labels),
    )


def label_gains(arm: Hits, other: Hits, labels: Ints, names: Sequence[str]) -> dict[str, float]:
    """Gain in accuracy of each label over another arm, largest first."""
    present, means = _means_by_label(arm.shares - other.shares, labels)
    ranked = sorted(zip(present.tolist(), means.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
    return {names[label]: value for label, value in ranked}


def verdict(arm: str, part: Part, over_control: Gain) -> str:
    """One sentence: whether the attributes help more than Waffle does, by the interval over labels."""
    whose = "unseen labels" if part == "ood" else "held-out images of seen labels (no unseen label has images)"
    low, high = (100 * bound for bound in over_control.labels)
    points = f"{100 * over_control.mean:+.1f} points on {whose}, 95% interval {low:+.1f} to {high:+.1f}"
    if low > 0:
        return f"The attributes help more than Waffle: with {arm} texts the teacher is more accurate ({points})."
    if high < 0:
        return f"The attributes harm: with {arm} texts the teacher is less accurate than with Waffle ({points})."
    return f"Not decided whether the attributes help more than Waffle: with {arm} texts the gain is {points}."
