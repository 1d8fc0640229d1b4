"""Metrics of the steps of a run."""

import pytest

from tests.distill.helpers_train import run, small_config


def test_metrics_have_position_speed_and_loss() -> None:
    result, steps = run(small_config())
    assert [(m.step, m.epoch) for m in steps] == [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (6, 2)]
    for metrics in steps:
        assert metrics.total_steps == 6
        assert metrics.epochs == 2
        assert metrics.loss == pytest.approx(sum(metrics.losses.values()))
        assert metrics.images_per_s > 0
        assert 0 <= metrics.data_wait <= 1
    assert steps[-1].eta_s == 0
    assert steps[0].eta_s > 0
    assert result is not None
    assert not result.student.model.training
    assert result.seconds > 0
