"""TensorBoard events: scalars of every step, and no duplicates after a resume."""

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from distill.training.loggers.run_log import RunLog
from tests.distill.training.loggers.records import EVALUATED, EVALUATION, STEP_NAMES, record, step_metrics


def test_resumed_run_replaces_the_events_of_its_steps(tmp_path: Path) -> None:
    for steps in (range(1, 6), range(4, 7)):  # stopped after step 5, and resumed from the state of step 3
        with RunLog(["tensorboard"], record(tmp_path), warn=pytest.fail) as log:
            for step in steps:
                log.step(step_metrics(step))
    with RunLog(["tensorboard"], record(tmp_path), warn=pytest.fail) as log:  # by another process
        log.evaluation(EVALUATION, step=6)
    read = EventAccumulator(str(tmp_path / "events")).Reload()
    assert set(read.Tags()["scalars"]) == STEP_NAMES | set(EVALUATED)
    assert [event.step for event in read.Scalars("loss/total")] == [1, 2, 3, 4, 5, 6]
    assert read.Scalars("loss/cls")[0].value == pytest.approx(7.0)
    assert read.Scalars("evaluation/id/accuracy")[0].value == pytest.approx(0.75)
    text = read.Tensors("run/text_summary")[0].tensor_proto.string_val[0].decode()
    assert '"dataset": "d0"' in text
    assert '"epochs": 2' in text
