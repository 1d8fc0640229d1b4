"""Ranks of a training: what ended them decides how the part ends, and a worker has a GPU for each or none."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from distill.config.recipes import resolve_train_config
from store.artefacts import Artefacts
from store.db import Database
from store.jobs import claims, jobs
from store.jobs.jobs import NewPart
from store.jobs.part_results import TrainPartResult
from store.settings import Settings
from tests.job_specs import distill_spec
from workers.gpu import rank, torchrun
from workers.gpu.torchrun import RankOutcome, check_gpus, outcome_of, read_outcome, result_of, write_outcome
from workers.runtime.context import Context
from workers.runtime.errors import PartError, Stopped
from workers.runtime.lease_renewal import LeaseRenewal

RESULT = TrainPartResult(num_steps=3, files={"student": "s"})
TRAINED = RankOutcome(at=9, result=RESULT)
MEMORY = RankOutcome(at=2, error="does not fit", code="gpu_out_of_memory")
CLOSED = RankOutcome(at=1, error="RuntimeError: Connection closed by peer")
CRASHED = RankOutcome(at=0, error="KeyError: 'x'")
STOPPED = RankOutcome(at=3, stopped=True)


@pytest.mark.parametrize(
    ("outcomes", "should_stop", "error", "shown"),
    [
        ([CLOSED, None], False, "rank_lost", "rank 1 of 2 ended without a report"),
        ([None, CLOSED], False, "rank_lost", "rank 0 of 2 ended without a report"),
        ([None, None, None], False, "rank_lost", "ranks 0, 1, 2 of 3 ended without a report"),
        ([CLOSED, MEMORY], False, "gpu_out_of_memory", "does not fit"),
        ([None, MEMORY], False, "gpu_out_of_memory", "does not fit"),  # a rank that hangs is killed
        ([CLOSED, CRASHED], False, RuntimeError, "rank 1: KeyError: 'x'"),
        ([STOPPED, CRASHED], False, RuntimeError, "rank 1: KeyError: 'x'"),
        ([STOPPED, STOPPED], False, Stopped, "rank 0 was stopped"),
        ([STOPPED, None], True, Stopped, "the ranks were stopped"),
        ([CRASHED, None], True, Stopped, "the ranks were stopped"),
    ],
)
def test_the_cause_of_the_end_is_found(
    outcomes: list[RankOutcome | None], should_stop: bool, error: Any, shown: str
) -> None:
    with pytest.raises(PartError if isinstance(error, str) else error, match=shown) as raised:
        result_of(outcomes, should_stop=should_stop)
    if isinstance(error, str):
        assert isinstance(raised.value, PartError)
        assert raised.value.code == error
        assert (raised.value.retry_in_s is not None) is (error == "rank_lost")


def test_a_result_that_was_stored_is_kept_whatever_happens_then() -> None:
    for others, should_stop in ((TRAINED, False), (None, False), (STOPPED, True)):
        assert result_of([TRAINED, others], should_stop=should_stop) == RESULT


def test_the_first_outcome_of_a_rank_is_the_one_that_is_read(tmp_path: Path) -> None:
    def fail() -> None:
        raise PartError("student_unfit", "too wide", retry_in_s=5.0)

    assert read_outcome(tmp_path) is None
    write_outcome(outcome_of(fail), tmp_path)
    write_outcome(outcome_of(lambda: RESULT), tmp_path)
    stored = read_outcome(tmp_path)
    assert stored is not None
    error = stored.as_error(1)
    assert isinstance(error, PartError)
    assert (error.code, str(error), error.retry_in_s) == ("student_unfit", "too wide", 5.0)
    again = tmp_path / "again"
    again.mkdir()
    write_outcome(outcome_of(lambda: RESULT), again)
    stored = read_outcome(again)
    assert stored is not None
    assert stored.result is not None
    assert stored.result.as_json() == RESULT.as_json()


@pytest.mark.parametrize(
    ("device", "num_gpus", "fits"),
    [("auto", 0, True), ("auto", 1, False), ("auto", 2, True), ("cuda", 0, False), ("cuda", 4, True), ("cpu", 1, True)],
)
def test_a_worker_has_a_gpu_for_each_rank_or_none(
    device: str, num_gpus: int, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: num_gpus)
    config = resolve_train_config("limbeck-small", {"device": device})
    if fits:
        check_gpus(config, 2)
        return
    with pytest.raises(PartError, match=f"nproc is 2, and this worker has {num_gpus} GPUs") as refused:
        check_gpus(config, 2)
    assert (refused.value.code, refused.value.retry_in_s) == ("too_few_gpus", None)


def test_a_rank_does_nothing_without_the_lease(sqlite_db: Database, tmp_path: Path) -> None:
    context = Context(Settings(), sqlite_db, Artefacts(tmp_path / "artefacts"))
    with sqlite_db.write() as tx:
        jobs.create(tx, distill_spec(nproc=2), [NewPart(kind="train", queue="gpu")])
        claim = claims.claim(tx, claims.ready(tx, ["gpu"])[0], worker="w", lease_s=60)
        assert claim is not None
    (folder := tmp_path / "rank-1").mkdir()
    arguments = Namespace(part_id=claim.part_id, token="another token", state=None)
    outcome = outcome_of(lambda: rank.join_and_train(context, arguments, folder))
    assert not outcome.has_succeeded
    assert str(outcome.as_error(1)) == "rank 1: LeaseLost: another worker has this part, or it has ended"
    assert list(folder.iterdir()) == []  # no outcome of a training, and no process group was joined


@pytest.mark.nightly  # 16 s: four processes load torch
def test_ranks_under_torchrun_do_nothing_without_the_lease(
    sqlite_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMBECK_HOME", str(tmp_path))
    monkeypatch.setenv("LIMBECK_DATABASE_URL", sqlite_db.url.render_as_string())
    settings = Settings()
    context = Context(settings, sqlite_db, Artefacts(settings.artefacts))
    spec = distill_spec(nproc=2)
    with sqlite_db.write() as tx:
        jobs.create(tx, spec, [NewPart(kind="train", queue="gpu")])
        claim = claims.claim(tx, claims.ready(tx, ["gpu"])[0], worker="w", lease_s=60)
        assert claim is not None
        claims.must_change(tx, claims.held(claim).values(status="queued", lease_token=None))
    with pytest.raises(RuntimeError, match="rank [01]: LeaseLost: another worker has this part"):
        torchrun.train_in_ranks(claim, LeaseRenewal(context, claim), spec, tmp_path)
    assert {path.name for path in tmp_path.glob("rank-*")} <= {"rank-0", "rank-1"}
