"""TensorBoard events: scalars of every step, and no duplicates after a resume."""

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from distill.training.hooks import TrainHooks
from distill.training.loop import train
from distill.training.tensorboard import EventLog
from tests.distill.helpers_train import run, small_config, small_data


def test_resumed_run_replaces_the_events_of_its_steps(tmp_path: Path) -> None:
    with EventLog(tmp_path) as events:
        train(small_config(), small_data(), hooks=TrainHooks(on_step=events.step))
    with EventLog(tmp_path) as events:  # stopped after step 4 and resumed
        _, steps = run(small_config())
        for metrics in steps[4:]:
            events.step(metrics)
    read = EventAccumulator(str(tmp_path)).Reload()
    assert set(read.Tags()["scalars"]) == {
        "loss/total",
        "loss/cls",
        "loss/mse",
        "loss/im_cst",
        "lr",
        "speed/images_per_s",
        "speed/data_wait",
    }
    assert [event.step for event in read.Scalars("loss/total")] == [1, 2, 3, 4, 5, 6]
    assert read.Scalars("loss/cls")[0].value == pytest.approx(steps[0].losses["cls"], rel=1e-5)
