"""Accuracies of the arms, their gains over names and over the control, and the verdict, with bootstrap intervals.

Which way of telling the attributes the verdict is about is chosen on held-out images of seen labels; unseen labels
choose nothing. Gains are paired: both arms tell the same images, so that what is drawn again is the difference of each
image's hits. N images, K labels, D embedding width, R replicates.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from distill.data.counter_rng import Ints
from distill.evaluation.bootstrap import DRAWN_AT_ONCE, REPLICATES, SEED, percentiles

Floats = npt.NDArray[np.float64]
Part = Literal["id", "ood"]
PARTS: tuple[Part, ...] = ("id", "ood")
PIECE = 8192


@dataclass(frozen=True, kw_only=True)
class Images:
    """Images of a part: the teacher's `features` (N, D), the `labels` (N,) among `subset`, labels to choose from."""

    features: Tensor
    labels: Ints
    subset: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Gain:
    """By how much mean per-class accuracy is higher (a share, may be negative), with its 95% bounds.

    `images`: had we other images of these labels. `labels`: had we other labels of this kind.
    """

    mean: float
    images: tuple[float, float]
    labels: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class ArmResult:
    """What an arm reaches on a part. `draws`: one accuracy for each seed; `accuracy` is their mean.

    `over_control` is None for the control itself.
    """

    accuracy: float
    draws: tuple[float, ...]
    over_names: Gain
    over_control: Gain | None


@dataclass(frozen=True, eq=False)
class Hits:
    """How often an arm is right: (N,) shares over its seeds, and the accuracy of each seed."""

    shares: Floats
    draws: tuple[float, ...]


def hits(images: Images, drawn: Sequence[Tensor]) -> Hits:
    """Tell the images among the part's labels by each seed's text features (K, D) of the whole vocabulary."""
    subset = np.asarray(images.subset)
    truth = np.searchsorted(subset, images.labels)
    right = np.stack([_right(images.features, targets[torch.from_numpy(subset)], truth) for targets in drawn])
    return Hits(right.mean(axis=0), tuple(_per_class(one, images.labels) for one in right))


def _right(features: Tensor, targets: Tensor, truth: Ints) -> Floats:
    texts = F.normalize(targets.float(), dim=-1)
    pieces = [F.normalize(features[at : at + PIECE].float(), dim=-1) @ texts.T for at in range(0, len(features), PIECE)]
    chosen = torch.cat([piece.argmax(dim=1) for piece in pieces]).numpy()
    right: Floats = (chosen == truth).astype(np.float64)
    return right


def _per_class(values: Floats, labels: Ints) -> float:
    return float(np.mean(_by_label(values, labels)[1]))


def _by_label(values: Floats, labels: Ints) -> tuple[Ints, Floats]:
    """The labels that have images, and the mean of each one's values."""
    held, place = np.unique(labels, return_inverse=True)
    return held, np.bincount(place, weights=values) / np.bincount(place)


def gain(values: Floats, labels: Ints) -> Gain:
    """The mean over labels of the per-image differences `values` (N,), with both intervals."""
    order = np.argsort(labels, kind="stable")
    values, held = values[order], labels[order]
    _, counts = np.unique(held, return_counts=True)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    random = np.random.default_rng(SEED)
    by_images, by_labels = np.empty(REPLICATES), np.empty(REPLICATES)
    first, own = np.repeat(starts, counts), np.repeat(counts, counts)
    at_once = max(1, DRAWN_AT_ONCE // len(values))
    for start in range(0, REPLICATES, at_once):
        size = min(at_once, REPLICATES - start)
        # Each label's images drawn again with replacement, then the labels too.
        rows = first + (random.random((size, len(values))) * own).astype(np.int64)  # (R, N)
        means = np.add.reduceat(values[rows], starts, axis=1) / counts  # (R, K)
        by_images[start : start + size] = means.mean(axis=1)
        drawn = random.integers(len(counts), size=(size, len(counts)))
        by_labels[start : start + size] = np.take_along_axis(means, drawn, axis=1).mean(axis=1)
    mean = float((np.add.reduceat(values, starts) / counts).mean())
    return Gain(mean=mean, images=percentiles(by_images), labels=percentiles(by_labels))


def compared(found: Hits, names: Hits, control: Hits | None, labels: Ints) -> ArmResult:
    """An arm's result beside names and beside the control (None where it is the control)."""
    return ArmResult(
        accuracy=_per_class(found.shares, labels),
        draws=found.draws,
        over_names=gain(found.shares - names.shares, labels),
        over_control=None if control is None else gain(found.shares - control.shares, labels),
    )


def label_gains(found: Hits, other: Hits, labels: Ints, names: Sequence[str]) -> dict[str, float]:
    """By how much each label's accuracy is higher, the largest first."""
    held, means = _by_label(found.shares - other.shares, labels)
    ranked = sorted(zip(held.tolist(), means.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
    return {names[at]: value for at, value in ranked}


def verdict(chosen: str, part: Part, over: Gain) -> str:
    """In one sentence whether the attributes help beyond as many texts that say nothing."""
    whose = "labels never seen" if part == "ood" else "held-out images of seen labels (no unseen label has images)"
    low, high = (100 * bound for bound in over.labels)
    figure = f"{100 * over.mean:+.1f} points on {whose}, 95% interval {low:+.1f} to {high:+.1f}"
    if low > 0:
        return f"The attributes help beyond Waffle: told by {chosen}, the teacher is right more often ({figure})."
    if high < 0:
        return f"The attributes do harm: told by {chosen}, the teacher is right less often than by Waffle ({figure})."
    return f"It cannot be said that the attributes help beyond Waffle: told by {chosen}, the gain is {figure}."


def plain(result: ArmResult) -> dict[str, Any]:
    """Of JSON's types alone."""
    return asdict(result)
