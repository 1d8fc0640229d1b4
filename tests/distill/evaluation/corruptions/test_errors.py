"""Corruption errors of a case that is small enough to compute by hand."""

import pytest

from distill.evaluation.corruptions.errors import corruption_errors

STUDENT = {"fog": (0.2, 0.4), "snow": (0.3, 0.5)}
BASELINE = {"fog": (0.4, 0.8), "snow": (0.5, 0.3)}


def test_without_a_baseline_there_is_the_unnormalised_mean_alone() -> None:
    found = corruption_errors(STUDENT, 0.1, num_images=10, num_labels=2)  # type: ignore[arg-type]
    assert found.mean_error == pytest.approx(0.35)
    assert [one.error for one in found.kinds] == pytest.approx([0.3, 0.4])
    assert (found.mce, found.relative_mce, found.kinds[0].ce) == (None, None, None)


def test_errors_relative_to_the_baseline() -> None:
    found = corruption_errors(STUDENT, 0.1, num_images=10, num_labels=2, baseline=(BASELINE, 0.2))  # type: ignore[arg-type]
    assert [one.ce for one in found.kinds] == pytest.approx([0.6 / 1.2, 0.8 / 0.8])
    assert found.mce == pytest.approx(0.75)
    assert [one.relative_ce for one in found.kinds] == pytest.approx(
        [(0.1 + 0.3) / (0.2 + 0.6), (0.2 + 0.4) / (0.3 + 0.1)]
    )
    assert found.relative_mce == pytest.approx((0.5 + 1.5) / 2)


def test_a_baseline_that_loses_nothing_gives_no_ratio() -> None:
    found = corruption_errors(STUDENT, 0.1, num_images=1, num_labels=1, baseline=({**BASELINE, "fog": (0, 0)}, 0.0))  # type: ignore[arg-type]
    assert found.kinds[0].ce is None
    assert found.mce is None
    assert found.kinds[1].ce == pytest.approx(1)
