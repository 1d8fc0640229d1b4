"""Open-set metrics against naive loops over pairs, thresholds and images, and against cases that are known."""

import numpy as np
import pytest

from distill.evaluation.open_set.metrics import auroc, fpr_at_recall, h_score, oscr


def drawn(seed: int, *, num_values: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of 60 known and 45 unknown images, of few different values so that there are ties, and what is correct."""
    rng = np.random.default_rng(seed)
    known, unknown = rng.integers(2, num_values + 2, 60) / num_values, rng.integers(0, num_values, 45) / num_values
    return known, rng.random(60) < 0.7, unknown


@pytest.mark.parametrize("num_values", [3, 20, 1000])
def test_auroc_is_the_share_of_pairs_in_order(num_values: int) -> None:
    known, _, unknown = drawn(num_values, num_values=num_values)
    pairs = [(a > b) + 0.5 * (a == b) for a in known for b in unknown]
    assert auroc(known, unknown) == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize("num_values", [3, 20, 1000])
def test_fpr95_is_that_of_the_largest_threshold_that_accepts_95_percent(num_values: int) -> None:
    known, _, unknown = drawn(num_values, num_values=num_values)
    thresholds = [one for one in known if np.mean(known >= one) >= 0.95]
    assert fpr_at_recall(known, unknown) == np.mean(unknown >= max(thresholds))


@pytest.mark.parametrize("num_values", [3, 20, 1000])
def test_oscr_is_the_area_over_all_thresholds(num_values: int) -> None:
    known, is_correct, unknown = drawn(num_values, num_values=num_values)
    points = [(0.0, 0.0)]
    for threshold in sorted({*known, *unknown}, reverse=True):
        ccr = sum(score >= threshold and right for score, right in zip(known, is_correct, strict=True)) / len(known)
        points.append((sum(score >= threshold for score in unknown) / len(unknown), ccr))
    area = 0.0
    for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
        area += (x1 - x0) * (y0 + y1) / 2
    assert oscr(known, is_correct, unknown) == pytest.approx(area)


def test_the_metrics_of_perfect_scores() -> None:
    known, unknown = np.array([0.8, 0.9, 1.0, 0.7]), np.array([0.1, 0.2])
    assert (auroc(known, unknown), fpr_at_recall(known, unknown)) == (1.0, 0.0)
    # Without errors among the known, all known are accepted before the first unknown one is.
    assert oscr(known, np.ones(4, np.bool_), unknown) == 1.0
    assert oscr(known, np.array([True, True, True, False]), unknown) == 0.75


def test_scores_that_say_nothing_are_at_chance() -> None:
    same = np.full(10, 0.5)
    assert (auroc(same, same), fpr_at_recall(same, same)) == (0.5, 1.0)
    # One step from nothing accepted to everything accepted: half of the accuracy.
    assert oscr(same, np.arange(10) < 8, same) == pytest.approx(0.4)


def test_h_score() -> None:
    assert h_score(0.5, 1.0) == pytest.approx(2 / 3)
    assert h_score(0.0, 0.0) == 0.0
