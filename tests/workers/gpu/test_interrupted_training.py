"""A training that is killed, paused, and cancelled and retried ends with the weights of an undisturbed one.

In this process; `tests/contract/job_lifecycle.py` does it with real processes.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, update

from distill.training.hooks import TrainHooks
from distill.training.metrics import StepMetrics
from store.access.principals import LOCAL_PRINCIPAL
from store.jobs import claims, jobs
from store.jobs.jobs import NewPart
from store.jobs.specs import parse_job_spec
from store.lifecycle import control, transitions
from store.models import Job, Part
from tests.workers.gpu.test_distill import context, new_job, run_next  # noqa: F401
from workers.gpu import train
from workers.runtime import lease_renewal
from workers.runtime.context import Context

CONFIG = {"epochs": 18, "save_every_s": 0.001}  # 36 steps, with a state after each


class Killed(BaseException):
    """The process ends at once."""


def training_of(context: Context, job_id: str) -> Part:  # noqa: F811
    with context.db.read() as tx:
        return tx.scalars(select(Part).where(Part.job_id == job_id, Part.kind == "train")).one()


def weights(context: Context, job_id: str) -> bytes:  # noqa: F811
    result: Any = training_of(context, job_id).result
    with context.artefacts.open(result["files"]["student"]) as file:
        content: bytes = file.read()
        return content


@pytest.mark.nightly
def test_an_interrupted_training_ends_with_the_same_weights(
    context: Context,  # noqa: F811
    new_job: Callable[..., str],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lease_renewal, "STOP_POLL_S", 0.05)
    undisturbed = new_job(**CONFIG)
    assert [run_next(context) for _ in range(2)] == ["encode", "train"]
    with context.db.write() as tx:
        transitions.cancel(tx, undisturbed)
        spec = jobs.get(tx, undisturbed).spec
        kinds = ("encode", "train", "evaluate")
        parts = [NewPart(kind=kind, queue="gpu", stage=at) for at, kind in enumerate(kinds)]
        job_id = jobs.create(tx, parse_job_spec("distill", spec), parts).id
    assert run_next(context) == "encode"

    first_steps: list[int] = []
    train_student: Any = train.train_student

    def disturbed_at(last: int, disturb: Callable[[], None]) -> None:
        """Run the training until its step `last`, and call `disturb` there."""

        def run(*arguments: Any, hooks: TrainHooks, **named: Any) -> Any:
            steps: list[int] = []

            def on_step(step: StepMetrics) -> None:
                hooks.on_step(step)
                steps.append(step.step)
                if step.step == last:
                    disturb()
                    wait_for(hooks.should_stop)

            try:
                return train_student(*arguments, hooks=replace(hooks, on_step=on_step), **named)
            finally:
                first_steps.append(steps[0])

        monkeypatch.setattr(train, "train_student", run)
        run_next(context)

    def kill() -> None:
        raise Killed

    def change(verb: Callable[..., Job], *arguments: Any) -> None:
        with context.db.write() as tx:
            verb(tx, job_id, *arguments)

    for last in (7, 14, 21, 28):
        with pytest.raises(Killed):
            disturbed_at(last, kill)
        killed = training_of(context, job_id)
        assert killed.saved_units >= last - 1
        with context.db.write() as tx:
            message = {"code": "worker_lost", "message": "killed"}
            assert transitions.lose(tx, killed.id, str(killed.lease_token), **message, max_attempts=2)
            tx.execute(update(Part).where(Part.id == killed.id).values(not_before=0.0))
        assert training_of(context, job_id).status == "queued"

    disturbed_at(31, lambda: change(control.pause))
    assert training_of(context, job_id).status == "paused"
    with context.db.read() as tx:
        assert (jobs.get(tx, job_id).status, claims.ready(tx, ["gpu"])) == ("paused", [])
    change(control.resume)
    disturbed_at(34, lambda: change(transitions.cancel))
    with context.db.read() as tx:
        assert jobs.get(tx, job_id).status == "cancelled"
    change(control.retry, LOCAL_PRINCIPAL)
    monkeypatch.setattr(train, "train_student", train_student)
    assert run_next(context) == "train"
    # A kill may lose the step that is not saved yet; a pause and a cancel lose none.
    assert all(first - killed in (0, 1) for first, killed in zip(first_steps[1:5], (7, 14, 21, 28), strict=True))
    assert (first_steps[0], first_steps[5]) == (1, 32)
    training = training_of(context, job_id)
    assert (training.status, training.saved_units) == ("succeeded", 36)
    assert weights(context, job_id) == weights(context, undisturbed)


def wait_for(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)
