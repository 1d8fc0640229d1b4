"""Open-set recognition of a student: known are the labels of its training, unknown are images of other labels.

Near unknowns are images of the unseen labels of the dataset: things of the same kind, which look like the known ones.
Far unknowns are images of another dataset. Every image is classified among the known labels only.

The threshold of a score accepts `1 - TARGET_RATE` of the held-out images of known labels. It is cross-fitted, as in
`distill.evaluation.none_of_these`: each half of the known images is judged by the threshold of the other half, and the
unknown images by the mean of both rates. N rows of known images, U unknown images, K known labels, D embedding width.

A known image with several labels has a row under each, as in `distill.evaluation.accuracy`: it is right if it is
closest to the text of any of them, and counts once in every curve and threshold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from distill.data.counter_rng import Ints
from distill.evaluation import none_of_these
from distill.evaluation.none_of_these import TARGET_RATE, threshold_of
from distill.evaluation.open_set.metrics import auroc, fpr_at_recall, h_score, oscr
from distill.evaluation.open_set.scores import ELEMENTS_AT_ONCE, Scores, open_set_scores
from limbeck.shared.bundle.open_set import OpenSetScore

UnknownKind = Literal["near", "far"]
CURVE_POINTS = 51
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class ScoreResult:
    """How well a score tells known from unknown images (`distill.evaluation.open_set.metrics`).

    At the threshold: `known_accuracy`, mean per-class accuracy of known images, a rejection being an error;
    `rejected`, share of unknown images that are rejected; `h_score` of both. `roc`: share of accepted known images at
    0%, 2%, … 100% accepted unknown ones.
    """

    score: OpenSetScore
    auroc: float
    fpr95: float
    oscr: float
    threshold: float
    known_accuracy: float
    rejected: float
    h_score: float
    roc: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class UnknownResult:
    """The results for one kind of unknown images, one for each score. `source`: where they are from.

    `rejected_among_all`: for far unknowns, the share that is rejected by the threshold of the bundle
    (`distill.evaluation.none_of_these`), which is about the labels of the whole vocabulary.
    """

    kind: UnknownKind
    source: str
    num_images: int
    scores: tuple[ScoreResult, ...]
    rejected_among_all: float | None


@dataclass(frozen=True, kw_only=True)
class OpenSet:
    """Known images and labels, the share of known images that a threshold may reject, and the unknown images."""

    num_labels: int
    num_images: int
    num_outliers: int
    target_rate: float
    unknown: tuple[UnknownResult, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Unknown:
    """Unknown images: their features (U, D)."""

    kind: UnknownKind
    source: str
    features: Tensor


def open_set(
    features: Tensor,
    labels: Ints,
    targets: Tensor,
    known_labels: Sequence[int],
    unknown: Sequence[Unknown],
    *,
    temperature: float,
    outliers: Tensor | None = None,
    threshold_among_all: float | None = None,
    image_numbers: Ints | None = None,
) -> OpenSet | None:
    """The open-set results of known images (N, D) of `labels` (N,), indices of `targets`.

    `image_numbers` (N,): equal for the rows of one image; None if each row is an image of its own.
    `threshold_among_all`: of the largest cosine to any of the targets, as in the bundle.
    None without unknown images, or with fewer than `MIN_IMAGES` known ones.
    """
    unknown = [one for one in unknown if len(one.features)]
    numbers = np.arange(len(labels)) if image_numbers is None else image_numbers
    _, first, image = np.unique(numbers, return_index=True, return_inverse=True)
    order = np.argsort(first)  # the images in the order of their first rows
    image, features = np.argsort(order)[image], features[torch.from_numpy(first[order])]
    if len(features) < none_of_these.MIN_IMAGES or not unknown:
        return None
    subset = np.unique(np.asarray(known_labels, dtype=np.int64))
    of_known = targets[torch.from_numpy(subset)]
    truth = np.searchsorted(subset, labels)
    is_correct = np.zeros(len(features), dtype=np.bool_)
    np.logical_or.at(is_correct, image, _closest(features, of_known)[image] == truth)
    known_scores = open_set_scores(features, of_known, temperature=temperature, outliers=outliers)
    results = []
    for one in unknown:
        unknown_scores = open_set_scores(one.features, of_known, temperature=temperature, outliers=outliers)
        results.append(
            UnknownResult(
                kind=one.kind,
                source=one.source,
                num_images=len(one.features),
                scores=tuple(_results(known_scores, truth, image, is_correct, unknown_scores)),
                rejected_among_all=_rejected(one, targets, threshold_among_all, temperature),
            )
        )
    return OpenSet(
        num_labels=len(subset),
        num_images=len(features),
        num_outliers=0 if outliers is None else len(outliers),
        target_rate=TARGET_RATE,
        unknown=tuple(results),
    )


def _rejected(unknown: Unknown, targets: Tensor, threshold: float | None, temperature: float) -> float | None:
    if unknown.kind != "far" or threshold is None:
        return None
    return float((open_set_scores(unknown.features, targets, temperature=temperature)["cosine"] < threshold).mean())


def _results(
    known_scores: Mapping[OpenSetScore, Scores],
    truth: Ints,
    image: Ints,
    is_correct: Bools,
    unknown_scores: Mapping[OpenSetScore, Scores],
) -> list[ScoreResult]:
    """`truth`, `image` (N,): the label and the image of each row; the scores and `is_correct` are of images."""
    results = []
    for name, known in known_scores.items():
        unknown = unknown_scores[name]
        halves = [threshold_of(known[start::2]) for start in (0, 1)]
        by_other_half = np.where(np.arange(len(known)) % 2 == 0, halves[1], halves[0])
        is_right = is_correct & (known >= by_other_half)
        rejected = float(np.mean([(unknown < threshold).mean() for threshold in halves]))
        accuracy = _mean_per_class(is_right[image], truth)
        results.append(
            ScoreResult(
                score=name,
                auroc=auroc(known, unknown),
                fpr95=fpr_at_recall(known, unknown),
                oscr=oscr(known, is_correct, unknown),
                threshold=threshold_of(known),
                known_accuracy=accuracy,
                rejected=rejected,
                h_score=h_score(accuracy, rejected),
                roc=_roc(known, unknown),
            )
        )
    return results


def _roc(known: Scores, unknown: Scores) -> tuple[float, ...]:
    """The share of accepted known images where at most 0%, 2%, … 100% of the unknown ones are accepted."""
    ordered = np.sort(unknown)[::-1]
    shares = []
    for share in np.linspace(0, 1, CURVE_POINTS):
        num_accepted = int(share * len(ordered) + 1e-9)
        # Accepted is what is above the first unknown image that must be rejected.
        accepted = known > ordered[num_accepted] if num_accepted < len(ordered) else np.ones(len(known), np.bool_)
        shares.append(round(float(accepted.mean()), 4))
    return tuple(shares)


def _mean_per_class(is_right: Bools, truth: Ints) -> float:
    images = np.bincount(truth)
    right = np.bincount(truth[is_right], minlength=len(images))
    return float((right[images > 0] / images[images > 0]).mean())


def _closest(features: Tensor, targets: Tensor) -> Ints:
    texts = F.normalize(targets.float(), dim=-1)
    size = max(1, ELEMENTS_AT_ONCE // len(texts))
    batches = [
        (F.normalize(features[start : start + size].float(), dim=-1) @ texts.T).argmax(dim=1)
        for start in range(0, len(features), size)
    ]
    closest: Ints = torch.cat(batches).numpy()
    return closest
