"""Average precision of each label, and bootstrap intervals of its mean over labels (mAP).

AP = sum_n (R_n - R_(n-1)) P_n over the distinct scores in descending order, without interpolation; images with equal
scores enter together. Two intervals as of `distill.evaluation.bootstrap`: over other images of these labels (images are
resampled with replacement), and over other labels (labels are resampled too). A label without a positive image in a
replicate is left out of it. N images, K labels, R replicates.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from distill.evaluation.bootstrap import REPLICATES, SEED, Intervals, percentiles

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
MAX_TERMS, MIN_REPLICATES = 400_000_000, 100
"""Terms (R x N x K) of the bootstrap: beyond them, it has fewer replicates."""
_TERMS_AT_ONCE = 4_000_000


class MeanAP(NamedTuple):
    """`per_label` (K,): average precisions; `mean`: of them; `replicates`: R of the intervals."""

    mean: float
    per_label: Floats
    intervals: Intervals
    replicates: int


def mean_average_precision(scores: npt.NDArray[np.floating], truth: Bools) -> MeanAP:
    """The average precision of `scores` (N, K) for `truth` (N, K), each label of which has a positive image."""
    if not truth.any(axis=0).all():
        raise ValueError("each label needs an image that shows it, so that its average precision can be measured")
    num_images, num_labels = truth.shape
    replicates = int(np.clip(MAX_TERMS // (num_images * num_labels), MIN_REPLICATES, REPLICATES))
    counts = _resampled(num_images, replicates)
    ones = np.ones((1, num_images))
    per_label, draws = np.empty(num_labels), np.empty((replicates, num_labels))
    for label in range(num_labels):
        ranked = _Ranked.of(scores[:, label], truth[:, label])
        per_label[label] = ranked.average_precision(ones)[0]
        at_once = max(1, _TERMS_AT_ONCE // num_images)
        for start in range(0, replicates, at_once):
            rows = slice(start, start + at_once)
            draws[rows, label] = ranked.average_precision(counts[rows])
    random = np.random.default_rng([SEED, 1])
    chosen = random.integers(num_labels, size=(replicates, num_labels))
    intervals = Intervals(
        images=percentiles(np.nanmean(draws, axis=1)),
        labels=percentiles(np.nanmean(_with_one_number(np.take_along_axis(draws, chosen, axis=1), draws), axis=1)),
    )
    return MeanAP(float(per_label.mean()), per_label, intervals, replicates)


def average_precision(scores: npt.NDArray[np.floating], truth: Bools) -> float:
    """The average precision of one label; `scores`, `truth` (N,); NaN without a positive image."""
    return float(_Ranked.of(scores, truth).average_precision(np.ones((1, len(truth))))[0])


def _resampled(num_images: int, replicates: int) -> npt.NDArray[np.int32]:
    """How often each image is drawn in each replicate, (R, N)."""
    random = np.random.default_rng([SEED, 0])
    counts = np.empty((replicates, num_images), np.int32)
    for row in counts:
        row[:] = np.bincount(random.integers(num_images, size=num_images), minlength=num_images)
    return counts


def _with_one_number(chosen: Floats, draws: Floats) -> Floats:
    """`chosen` (R, K) where a row of NaN alone is the row of `draws`: a replicate of labels without positive images."""
    empty = np.isnan(chosen).all(axis=1)
    chosen[empty] = draws[empty]
    return chosen


class _Ranked(NamedTuple):
    """The images in the order of their scores, best first: `order` (N,), `truth` (N,), `ends`: of equal scores."""

    order: npt.NDArray[np.int64]
    truth: Bools
    ends: npt.NDArray[np.int64]

    @classmethod
    def of(cls, scores: npt.NDArray[np.floating], truth: Bools) -> "_Ranked":
        order = np.argsort(-scores, kind="stable")
        ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
        return cls(order, truth[order], ends)

    def average_precision(self, counts: npt.NDArray[np.number]) -> Floats:
        """(R,) of images that count `counts` times (R, N)."""
        weights = counts[:, self.order].astype(np.float64)
        found = (weights * self.truth).cumsum(axis=1)[:, self.ends]
        drawn = weights.cumsum(axis=1)[:, self.ends]
        precision = np.divide(found, drawn, out=np.zeros_like(found), where=drawn > 0)
        gained = np.diff(found, axis=1, prepend=0.0)
        with np.errstate(invalid="ignore"):
            average: Floats = (gained * precision).sum(axis=1) / found[:, -1]
        return average
