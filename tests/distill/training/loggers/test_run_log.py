"""The log of a run: the same rows for every logger, and loggers that fail or hang do not harm the training."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from distill.json_types import EpochLine
from distill.training.hooks import TrainHooks
from distill.training.loggers import background, run_log
from distill.training.loggers.record import LoggedRow, Logger
from distill.training.loggers.run_log import RunLog
from distill.training.loop import train
from tests.distill.helpers_train import run, small_config, small_data
from tests.distill.training.loggers.records import EVALUATED, EVALUATION, STEP_NAMES, record, step_metrics

Opened = Callable[[Logger], list[str]]


class Kept:
    """A logger that keeps its rows."""

    def __init__(self) -> None:
        self.rows: list[LoggedRow] = []
        self.is_closed = False

    def write(self, rows: Sequence[LoggedRow], /) -> None:
        self.rows += rows

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """`opened(logger)`: every run log opens this logger. Returns the list of its warnings."""

    def use(logger: Logger) -> list[str]:
        monkeypatch.setattr(run_log, "_opener", lambda _name, _run: lambda: logger)
        return []

    return use


def test_every_step_the_accuracies_and_the_evaluation_are_rows(opened: Opened, tmp_path: Path) -> None:
    kept, accuracy = Kept(), {"id": 0.5, "ood": None, "harmonic_mean": None}
    warnings = opened(kept)
    line: EpochLine = {"accuracy": accuracy}  # type: ignore[typeddict-item]
    with RunLog(["wandb"], record(tmp_path), warn=warnings.append) as log:
        hooks = TrainHooks(on_step=log.step, on_epoch=log.measured(lambda *_: line))
        train(small_config(), small_data(), hooks=hooks)
        log.evaluation(EVALUATION, step=6)
    assert [row.step for row in kept.rows] == [1, 2, 3, 3, 4, 5, 6, 6, 6]
    assert [row.resumes for row in kept.rows] == [True, *[False] * 8]
    assert set(kept.rows[0].values) == STEP_NAMES | {"loss/im_cst"}
    assert kept.rows[3].values == {"accuracy/id": 0.5}
    assert (kept.rows[-1].values, kept.rows[-1].is_result) == (EVALUATED, True)
    assert kept.is_closed
    assert warnings == []


def test_a_logger_that_fails_is_one_warning_and_the_training_ends_with_the_same_weights(
    opened: Opened, tmp_path: Path
) -> None:
    class Failing(Kept):
        def write(self, rows: Sequence[LoggedRow], /) -> None:
            raise OSError(28, "No space left on device")

    warnings = opened(Failing())
    with RunLog(["mlflow"], record(tmp_path), warn=warnings.append) as log:
        logged = train(small_config(), small_data(), hooks=TrainHooks(on_step=log.step))
    plain, _ = run(small_config())
    assert warnings == [
        "nothing more is logged to mlflow: OSError: [Errno 28] No space left on device; the training goes on"
    ]
    for name, weights in plain.student.model.state_dict().items():
        assert weights.equal(logged.student.model.state_dict()[name])


def test_a_logger_that_hangs_delays_nothing(opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    class Hanging(Kept):
        def write(self, rows: Sequence[LoggedRow], /) -> None:
            released.wait(60)

    monkeypatch.setattr(run_log, "CLOSE_TIMEOUT_S", 0.05)
    monkeypatch.setattr(background, "MAX_QUEUED", 3)
    warnings = opened(Hanging())
    with RunLog(["wandb"], record(tmp_path), warn=warnings.append) as log:
        for step in range(1, 8):
            log.step(step_metrics(step))
    assert warnings == ["nothing more is logged to wandb: it is more than 3 steps behind; the training goes on"]
    late = opened(Hanging())
    with RunLog(["wandb"], record(tmp_path), warn=late.append) as log:
        log.step(step_metrics(1))
    assert late == ["nothing more is logged to wandb: it did not end within 0.05 s; the training goes on"]
    released.set()


def test_a_run_without_steps_opens_no_logger(tmp_path: Path) -> None:
    with RunLog(["tensorboard"], record(tmp_path), warn=print):
        pass
    assert list(tmp_path.iterdir()) == []
