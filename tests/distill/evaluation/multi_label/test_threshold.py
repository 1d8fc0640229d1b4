"""The threshold with the largest F1, its cross-fitted figures, and the probability of a label."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F

from distill.evaluation.multi_label.threshold import (
    best_threshold,
    decisions,
    fitted_probability,
    label_threshold,
)

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def pairs(num_images: int = 80, num_labels: int = 5, noise: float = 0.1) -> tuple[Array, Bools]:
    random = np.random.default_rng(3)
    truth = random.random((num_images, num_labels)) < 0.3
    return 0.2 + 0.15 * truth + random.normal(0, noise, truth.shape), truth


def f1(scores: Array, truth: Bools, threshold: float) -> float:
    chosen = scores >= threshold
    right = (chosen & truth).sum()
    return float(2 * right / (chosen.sum() + truth.sum()))


@pytest.mark.parametrize("digits", [1, 2, 9])
def test_no_other_threshold_has_a_larger_f1(digits: int) -> None:
    scores, truth = pairs()
    scores = scores.round(digits)
    threshold = best_threshold(scores, truth)
    assert f1(scores, truth, threshold) == pytest.approx(max(f1(scores, truth, one) for one in scores.ravel()))


def test_figures_are_those_of_the_other_half() -> None:
    scores, truth = pairs()
    found = label_threshold(scores, truth)
    assert found is not None
    assert found.threshold == best_threshold(scores, truth)
    even, odd = slice(0, None, 2), slice(1, None, 2)
    chosen = np.empty_like(truth)
    chosen[even] = scores[even] >= best_threshold(scores[odd], truth[odd])
    chosen[odd] = scores[odd] >= best_threshold(scores[even], truth[even])
    right = (chosen & truth).sum()
    assert found.decisions.precision == right / chosen.sum()
    assert found.decisions.recall == right / truth.sum()
    assert found.decisions.f1 <= f1(scores, truth, found.threshold)
    assert (found.num_images, found.num_labels) == (80, 5)


def test_too_few_images_or_only_one_kind_of_pair_have_no_threshold() -> None:
    scores, truth = pairs(19)
    assert label_threshold(scores, truth) is None
    scores, truth = pairs(20)
    assert label_threshold(scores, truth) is not None
    assert label_threshold(scores, np.zeros_like(truth)) is None
    assert label_threshold(scores, np.ones_like(truth)) is None


def test_the_probability_is_the_best_fit() -> None:
    scores, truth = pairs()
    slope, intercept = fitted_probability(scores.ravel(), truth.ravel())
    num_true = int(truth.sum())
    targets = np.where(truth, (num_true + 1) / (num_true + 2), 1 / (truth.size - num_true + 2))
    fit = torch.tensor([slope, intercept], dtype=torch.float64, requires_grad=True)
    logits = fit[0] * torch.tensor(scores) + fit[1]
    F.binary_cross_entropy_with_logits(logits, torch.tensor(targets), reduction="sum").backward()
    assert fit.grad is not None
    assert fit.grad.abs().max() < 1e-4
    # Calibrated: the expected number of labels equals the real one, apart from the targets of Platt.
    assert torch.sigmoid(logits).sum().item() == pytest.approx(float(targets.sum()), rel=1e-6)


def test_separable_pairs_have_a_finite_slope() -> None:
    scores, truth = pairs(noise=1e-3)
    slope, intercept = fitted_probability(scores.ravel(), truth.ravel())
    assert np.isfinite([slope, intercept]).all()
    p = 1 / (1 + np.exp(-(slope * scores + intercept)))
    assert p[truth].min() > 0.9 > 0.1 > p[~truth].max()


def test_decisions_without_a_chosen_label() -> None:
    _, truth = pairs()
    nothing = decisions(np.zeros_like(truth), truth)
    assert (nothing.precision, nothing.recall, nothing.f1) == (0, 0, 0)
