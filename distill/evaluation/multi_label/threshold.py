"""The threshold from which an image shows a label, and probabilities of labels, from held-out images of seen labels.

One threshold of the cosine serves all labels, so that it also serves labels without images. It is the one with the
largest F1 over all pairs of a held-out image and a seen label. Its F1 would be too large as an estimate for new images,
because the threshold was chosen on the same ones; the stated figures are cross-fitted, as those of
`distill.evaluation.none_of_these`. The probability of a label is sigmoid(slope * cosine + intercept), fitted to the
same pairs (Platt 1999, with his targets, so that separable pairs have a finite slope). N images, K labels.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distill.evaluation.none_of_these import MIN_IMAGES

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]
MAX_PAIRS = 20_000_000
_NEWTON_STEPS = 100


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """Precision, recall and F1 of the decisions whether an image shows a label, over all pairs of both; 0 to 1."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, kw_only=True)
class LabelThreshold:
    """An image shows a label if their cosine is at least `threshold`. `slope`, `intercept`: of the probability.

    `decisions`: on the held-out images, cross-fitted. `num_images`, `num_labels`: that it was chosen on.
    """

    threshold: float
    slope: float
    intercept: float
    decisions: Decisions
    num_images: int
    num_labels: int


def label_threshold(scores: Floats, truth: Bools) -> LabelThreshold | None:
    """The threshold by the cosines (N, K) of held-out images and seen labels, and `truth` (N, K).

    None for fewer than `MIN_IMAGES`, or without both images that show a label and images that do not.
    """
    num_images, num_labels = truth.shape
    if num_images < MIN_IMAGES or truth.all() or not truth.any():
        return None
    num_kept = min(num_images, max(MIN_IMAGES, MAX_PAIRS // num_labels))
    kept = np.linspace(0, num_images - 1, num_kept).round().astype(np.int64)  # spread evenly
    scores, truth = scores[kept].astype(np.float64), truth[kept]
    halves = [slice(0, None, 2), slice(1, None, 2)]
    threshold = best_threshold(scores, truth)
    chosen = np.empty_like(truth)
    for half, other in zip(halves, reversed(halves), strict=True):
        # Without a label in one half, there is nothing to choose by, and the threshold of all stands in.
        by = best_threshold(scores[other], truth[other]) if truth[other].any() else threshold
        chosen[half] = scores[half] >= by
    slope, intercept = fitted_probability(scores.ravel(), truth.ravel())
    return LabelThreshold(
        threshold=threshold,
        slope=slope,
        intercept=intercept,
        decisions=decisions(chosen, truth),
        num_images=num_images,
        num_labels=num_labels,
    )


def best_threshold(scores: Floats, truth: Bools) -> float:
    """The smallest score of those with the largest F1 over all pairs, so that a pair at the threshold counts."""
    order = np.argsort(-scores, axis=None, kind="stable")
    ranked = scores.ravel()[order]
    right = truth.ravel()[order].cumsum()
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    f1 = 2 * right[ends] / (ends + 1 + right[-1])  # 2 TP / (2 TP + FP + FN)
    return float(ranked[ends[np.argmax(f1)]])


def decisions(chosen: Bools, truth: Bools) -> Decisions:
    """The figures of decisions (N, K); a precision without a chosen label is 0."""
    right = int((chosen & truth).sum())
    num_chosen, num_true = int(chosen.sum()), int(truth.sum())
    return Decisions(
        precision=right / max(num_chosen, 1),
        recall=right / max(num_true, 1),
        f1=2 * right / max(num_chosen + num_true, 1),
    )


def fitted_probability(scores: Floats, truth: Bools) -> tuple[float, float]:
    """Slope and intercept of a logistic regression of `truth` (M,) on `scores` (M,), by Newton's method."""
    num_true = int(truth.sum())
    targets = np.where(truth, (num_true + 1) / (num_true + 2), 1 / (len(truth) - num_true + 2))
    centre, scale = float(scores.mean()), float(scores.std()) or 1.0
    x = (scores - centre) / scale
    slope, intercept = 0.0, float(np.log((num_true + 1) / (len(truth) - num_true + 1)))
    loss = _loss(slope * x + intercept, targets)
    for _ in range(_NEWTON_STEPS):
        p = 1 / (1 + np.exp(-np.clip(slope * x + intercept, -700, 700)))
        weight, error = p * (1 - p), p - targets
        a, b, c = float((weight * x * x).sum()) + 1e-9, float((weight * x).sum()), float(weight.sum()) + 1e-9
        u, v = float((error * x).sum()), float(error.sum())
        determinant = a * c - b * b
        step = ((c * u - b * v) / determinant, (a * v - b * u) / determinant)
        size = 1.0
        while size > 1e-6 and _loss((slope - size * step[0]) * x + intercept - size * step[1], targets) > loss:
            size /= 2
        slope, intercept = slope - size * step[0], intercept - size * step[1]
        new = _loss(slope * x + intercept, targets)
        if loss - new < 1e-12 * max(1.0, loss):
            break
        loss = new
    return slope / scale, intercept - slope * centre / scale


def _loss(logits: Floats, targets: Floats) -> float:
    """Cross-entropy of logits (M,) with targets (M,) in 0..1, summed."""
    return float((np.logaddexp(0, logits) - targets * logits).sum())
