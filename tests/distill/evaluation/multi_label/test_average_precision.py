"""Average precision against its definition, and the bootstrap of its mean."""

import numpy as np
import numpy.typing as npt
import pytest

from distill.evaluation.multi_label import average_precision as module
from distill.evaluation.multi_label.average_precision import average_precision, mean_average_precision

Array = npt.NDArray[np.float64]


def brute_force(scores: Array, truth: npt.NDArray[np.bool_]) -> float:
    """sum_n (R_n - R_(n-1)) P_n over the distinct scores, as scikit-learn's `average_precision_score` states it."""
    total, last_recall = 0.0, 0.0
    for score in sorted(set(scores.tolist()), reverse=True):
        chosen = [shown for one, shown in zip(scores, truth, strict=True) if one >= score]
        precision, recall = sum(chosen) / len(chosen), sum(chosen) / sum(truth)
        total += (recall - last_recall) * precision
        last_recall = recall
    return float(total)


@pytest.mark.parametrize("seed", range(6))
def test_value_is_that_of_the_definition_also_with_ties(seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.normal(size=40).round(1 if seed % 2 else 6)
    truth = random.random(40) < 0.3
    truth[0] = True
    assert average_precision(scores, truth) == pytest.approx(brute_force(scores, truth), abs=1e-12)


def test_known_values() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    assert average_precision(scores, np.array([True, True, False, False])) == 1
    assert average_precision(scores, np.array([False, False, True, False])) == pytest.approx(1 / 3)
    assert average_precision(np.zeros(4), np.array([False, True, False, False])) == 0.25  # all tie
    assert np.isnan(average_precision(scores, np.zeros(4, dtype=np.bool_)))


def random_scores(num_images: int = 60, num_labels: int = 4) -> tuple[Array, npt.NDArray[np.bool_]]:
    random = np.random.default_rng(1)
    truth = random.random((num_images, num_labels)) < 0.3
    truth[0] = True
    return truth + random.normal(0, 0.8, truth.shape), truth


def test_replicates_are_the_average_precisions_of_resampled_images() -> None:
    scores, truth = random_scores()
    counts = module._resampled(len(scores), 20)
    assert (counts.sum(axis=1) == len(scores)).all()
    ranked = module._Ranked.of(scores[:, 0], truth[:, 0])
    for row, found in zip(counts, ranked.average_precision(counts), strict=True):
        drawn = np.repeat(np.arange(len(scores)), row)
        assert found == pytest.approx(brute_force(scores[drawn, 0], truth[drawn, 0]), abs=1e-12)


def test_intervals_contain_the_mean_and_repeat() -> None:
    scores, truth = random_scores()
    found = mean_average_precision(scores, truth)
    assert found.mean == pytest.approx(np.mean([brute_force(scores[:, at], truth[:, at]) for at in range(4)]))
    for low, high in (found.intervals.images, found.intervals.labels):
        assert low < found.mean < high
    again = mean_average_precision(scores, truth)
    assert again.intervals == found.intervals
    assert found.replicates == 1000
    one = mean_average_precision(scores[:, :1], truth[:, :1])
    assert one.intervals.labels == one.intervals.images  # there is no other label


def test_many_terms_have_fewer_replicates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TERMS", 60 * 4 * 150)
    assert mean_average_precision(*random_scores()).replicates == 150


def test_a_label_without_images_is_refused() -> None:
    scores, truth = random_scores()
    truth[:, 2] = False
    with pytest.raises(ValueError, match="each label needs an image"):
        mean_average_precision(scores, truth)


def test_a_rare_label_leaves_replicates_without_it() -> None:
    truth = np.zeros((30, 2), dtype=np.bool_)
    truth[:10, 0] = truth[7, 1] = True
    scores = truth + np.random.default_rng(0).normal(0, 0.5, truth.shape)
    found = mean_average_precision(scores, truth)
    assert np.isfinite([*found.intervals.images, *found.intervals.labels]).all()
