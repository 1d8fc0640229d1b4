"""Expected calibration error: calibrated and overconfident predictions, and the bins."""

import numpy as np
import pytest

from distill.evaluation.calibration import calibration


def test_calibrated_predictions_have_no_error() -> None:
    random = np.random.default_rng(0)
    confidence = random.uniform(0, 1, 200_000)
    got = calibration(confidence, random.uniform(0, 1, 200_000) < confidence, temperature=1)
    assert got.error < 0.01
    assert len(got.bins) == 15


def test_error_of_overconfident_predictions_is_the_gap() -> None:
    got = calibration(np.full(10, 0.95), np.arange(10) < 6, temperature=0.07)
    assert got.error == pytest.approx(0.35)
    (only,) = got.bins
    assert (only.num_images, only.accuracy, only.confidence) == (10, pytest.approx(0.6), pytest.approx(0.95))
    assert only.low < 0.95 <= only.high


def test_errors_of_bins_do_not_cancel() -> None:
    confidence, right = np.array([0.9, 0.9, 0.3, 0.3]), np.array([False, True, True, True])
    assert calibration(confidence, right, temperature=1, num_bins=10).error == pytest.approx((0.4 + 0.7) / 2)


def test_confidences_0_and_1_are_in_the_first_and_last_bin() -> None:
    got = calibration(np.array([0.0, 1.0]), np.array([False, True]), temperature=1, num_bins=4)
    assert [(one.low, one.high, one.num_images) for one in got.bins] == [(0, 0.25, 1), (0.75, 1, 1)]
    assert got.error == 0
