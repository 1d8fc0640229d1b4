"""Enrich jobs by the Batch API: no worker is held, nothing is lost or paid twice, and the rest alone is asked again.

Against the scripted server, with the worker's own functions, on both databases.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from attributes.llm.transport import Transport
from store.db import Database
from store.enrich import usage
from store.jobs import batches as rows
from store.jobs import claims
from store.lifecycle import transitions
from store.models import LLMBatch, LLMCall, LLMFlight, Part
from tests.attributes.fake_batch_api import FakeBatch, FakeBatchAPI
from tests.attributes.fake_llm import FakeLLM, FakeResponse, completion, error_response, respond_correctly
from tests.workers.enrich_bench import Bench, make_bench
from workers.dispatch import run_enrich
from workers.enrich import batch as batching
from workers.runtime import run_part
from workers.runtime.context import Context

NAMES = [f"bird {n}" for n in range(12)]
PRICES = """
[[price]]
base_url = "{url}"
batch = "0.5"
[price.models]
fieldguide = {{ input = "2", output = "8" }}
"""
CALL_PUSD = (100 * 2_000_000 + 40 * 8_000_000) // 2  # the scripted server states 100 and 40 tokens


@pytest.fixture
def desk() -> Iterator[FakeBatchAPI]:
    with FakeLLM() as llm:
        yield FakeBatchAPI(llm)


@pytest.fixture
def here(db: Database, desk: FakeBatchAPI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return bench(db, desk, tmp_path, monkeypatch)


@pytest.fixture
def here_on_sqlite(sqlite_db: Database, desk: FakeBatchAPI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """For what asks the database nothing new."""
    return bench(sqlite_db, desk, tmp_path, monkeypatch)


def bench(db: Database, desk: FakeBatchAPI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    send = Transport.send
    here = make_bench(db, tmp_path, monkeypatch)
    monkeypatch.setattr(Transport, "send", send)
    url = desk.llm.url
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES.format(url=url))
    changes: dict[str, Any] = {"llm_base_url": url, "prices": prices, "llm_max_attempts": 2}
    settings = here.context.settings.model_copy(update=changes)
    here.context = Context(settings, db, here.context.artefacts, here.context.shutting_down)
    monkeypatch.setattr(batching, "FIRST_POLL_S", 0.0)
    monkeypatch.setattr(batching, "LAST_POLL_S", 0.05)
    monkeypatch.setattr(transitions, "STOPPING_POLL_S", 0.0)
    monkeypatch.setattr(run_part, "_RETRY_S", 0.0)
    return here


def step(here: Bench) -> None:
    """Let a worker look at whatever is ready, once."""
    if (part := here.next_part()) is not None:
        run_enrich(here.context, part.id)


def until_ended(here: Bench, *job_ids: str) -> None:
    give_up = time.monotonic() + 30
    while any(here.job(job_id).finished_at is None for job_id in job_ids):
        assert time.monotonic() < give_up
        step(here)


def post(here: Bench, names: list[str] = NAMES, **more: Any) -> str:
    return here.post(here.vocabulary(names), strategies=["sentence"], mode="batch", **more)


def spent(here: Bench, job_id: str) -> tuple[int, int, int]:
    """Calls, pico-dollars and what is still set aside; the ledger agrees with the sums."""
    with here.db.read() as tx:
        found = usage.totals_of_job(tx, job_id)
        ledger = tx.execute(
            select(func.count(), func.coalesce(func.sum(LLMCall.cost_pusd), 0)).where(LLMCall.job_id == job_id)
        ).one()
        modes = set(tx.scalars(select(LLMCall.mode)))
    assert found is not None
    assert (found.calls, found.spent_pusd) == (ledger[0], int(ledger[1]))
    assert modes <= {"batch"}
    return found.calls, found.spent_pusd, found.reserved_pusd + found.reserved_tokens


def asked(desk: FakeBatchAPI) -> list[int]:
    return [len(made.lines) for made in desk.batches]


def first_batch(**changes: Any) -> Callable[[FakeBatch], None]:
    def plan(made: FakeBatch) -> None:
        if made.id == "batch-0":
            for name, value in changes.items():
                setattr(made, name, value)

    return plan


def test_a_job_in_batches_costs_half_and_holds_no_worker(here: Bench, desk: FakeBatchAPI) -> None:
    desk.plan = first_batch(polls=3)
    job_id = post(here)
    step(here)  # submits
    step(here)  # looks
    with here.db.read() as tx:
        (part,) = tx.scalars(select(Part).where(Part.job_id == job_id, Part.kind == "describe"))
    assert (part.status, part.attempts, part.worker) == ("queued", 0, None)
    until_ended(here, job_id)
    job = here.job(job_id)
    assert (job.status, asked(desk), desk.llm.num_calls) == ("succeeded", [12], 12)
    assert (job.result or {})["num_described"] == 12
    assert spent(here, job_id) == (12, 12 * CALL_PUSD, 0)
    again = post(here)
    until_ended(here, again)
    assert (asked(desk), spent(here, again)[0]) == ([12], 0)
    with here.db.read() as tx:
        assert list(tx.scalars(select(LLMFlight.key))) == []


def test_what_an_expired_batch_completed_is_kept_and_the_rest_asked_again(here: Bench, desk: FakeBatchAPI) -> None:
    desk.plan = first_batch(final_status="expired", max_processed=7)
    desk.llm.script = lambda seen, nth: error_response(500) if nth == 3 else respond_correctly(seen, nth)
    job_id = post(here)
    until_ended(here, job_id)
    assert (here.job(job_id).status, asked(desk)) == ("succeeded", [12, 6])
    assert spent(here, job_id) == (13, 12 * CALL_PUSD, 0)
    with here.db.read() as tx:
        attempts = sorted(tx.scalars(select(LLMCall.attempt)))
    assert attempts == [1] * 12 + [2]  # the one that failed goes on where it was


@pytest.mark.parametrize("at", ["file_id", "server_id"])
def test_a_worker_that_dies_while_it_submits_submits_nothing_twice(
    here: Bench, desk: FakeBatchAPI, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = rows.record

    def dies(tx: Any, batch: LLMBatch, **values: Any) -> None:
        if at in {*values, *values.get("detail", {})}:
            monkeypatch.setattr(rows, "record", record)
            raise RuntimeError("killed")
        record(tx, batch, **values)

    monkeypatch.setattr(rows, "record", dies)
    job_id = post(here)
    until_ended(here, job_id)
    assert (here.job(job_id).status, asked(desk)) == ("succeeded", [12])
    assert spent(here, job_id) == (12, 12 * CALL_PUSD, 0)


def test_a_worker_that_dies_while_it_collects_counts_nothing_twice(
    here: Bench, desk: FakeBatchAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = rows.end

    def dies(*given: Any, **how: Any) -> None:
        monkeypatch.setattr(rows, "end", end)
        raise RuntimeError("killed")

    monkeypatch.setattr(rows, "end", dies)
    job_id = post(here, budget_tokens=1_000_000)
    until_ended(here, job_id)
    assert (here.job(job_id).status, asked(desk)) == ("succeeded", [12])
    assert spent(here, job_id) == (12, 12 * CALL_PUSD, 0)


def test_cancel_ends_the_batch_and_keeps_what_it_completed(here: Bench, desk: FakeBatchAPI) -> None:
    desk.plan = first_batch(polls=10_000, max_processed=5)
    job_id = post(here)
    step(here)
    step(here)
    with here.db.write() as tx:
        transitions.cancel(tx, job_id)
    assert here.job(job_id).status == "cancelling"
    desk.batches[0].polls = 1
    until_ended(here, job_id)
    job = here.job(job_id)
    assert ("POST", "/batches/batch-0/cancel") in desk.requests
    assert (job.status, (job.result or {})["num_described"], asked(desk)) == ("cancelled", 5, [12])
    assert (job.result or {})["attribute_set_id"]
    assert spent(here, job_id) == (5, 5 * CALL_PUSD, 0)


def test_a_cap_lets_as_many_into_a_batch_as_fit(here: Bench, desk: FakeBatchAPI) -> None:
    job_id = post(here, [f"{name} of the woods" for name in NAMES], budget_usd="0.006")
    until_ended(here, job_id)
    job = here.job(job_id)
    calls, pusd, set_aside = spent(here, job_id)
    assert (job.status, (job.error or {})["code"], set_aside) == ("failed", "budget_spent", 0)
    assert len(desk.batches) > 1
    assert 0 < calls == sum(asked(desk)) == (job.result or {})["num_described"] < 12
    assert pusd == calls * CALL_PUSD <= 6_000_000_000
    assert f"{12 - calls} of 12 labels" in (job.error or {})["message"]


def test_lines_whose_use_nobody_states_stay_set_aside(here_on_sqlite: Bench, desk: FakeBatchAPI) -> None:
    here = here_on_sqlite

    def script(seen: Any, nth: int) -> FakeResponse:
        said = respond_correctly(seen, nth)
        del said.body["usage"]
        return said

    desk.llm.script = script
    job_id = post(here, NAMES[:2], budget_usd="1")
    until_ended(here, job_id)
    calls, pusd, set_aside = spent(here, job_id)
    assert (here.job(job_id).status, calls, pusd) == ("succeeded", 2, 0)
    assert set_aside > 2 * CALL_PUSD


def test_what_no_batch_comes_to_is_named(here_on_sqlite: Bench, desk: FakeBatchAPI) -> None:
    here = here_on_sqlite

    def plan(made: FakeBatch) -> None:
        made.final_status, made.max_processed = "expired", 1

    desk.plan = plan
    desk.llm.script = lambda seen, nth: FakeResponse(body=completion(None, refusal="no"))
    job_id = post(here, NAMES[:10])
    until_ended(here, job_id)
    result = here.job(job_id).result or {}
    rounds = len(desk.batches)
    assert asked(desk) == list(range(10, 10 - rounds, -1))
    assert result["failed_labels"] == {"refused": rounds, "batch_unfinished": 10 - rounds}


def test_two_jobs_at_once_share_a_batch(here_on_sqlite: Bench, desk: FakeBatchAPI) -> None:
    here = here_on_sqlite
    desk.plan = first_batch(polls=4)
    first, second = post(here), post(here)
    until_ended(here, first, second)
    assert asked(desk) == [12]
    assert {here.job(job_id).status for job_id in (first, second)} == {"succeeded"}
    assert spent(here, second)[0] == 0


@pytest.mark.parametrize(
    ("fault", "code"), [(error_response(404), "llm_no_batches"), (error_response(401), "llm_wrong_key")]
)
def test_a_server_that_takes_no_batch_fails_the_job_by_name(
    here_on_sqlite: Bench, desk: FakeBatchAPI, fault: FakeResponse, code: str
) -> None:
    here = here_on_sqlite
    desk.fault = lambda method, path, nth: fault
    job_id = post(here)
    until_ended(here, job_id)
    assert (here.job(job_id).error or {})["code"] == code


def test_a_server_that_is_away_for_a_while_is_waited_for(
    here_on_sqlite: Bench, desk: FakeBatchAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = here_on_sqlite
    monkeypatch.setattr("attributes.llm.retry_policy.FIRST_WAIT_S", 0.001)
    desk.fault = lambda method, path, nth: error_response(503) if nth < 5 or 8 < nth < 13 else None
    job_id = post(here)
    until_ended(here, job_id)
    assert (here.job(job_id).status, asked(desk)) == ("succeeded", [12])


def test_a_lost_worker_of_a_job_that_stops_does_not_lose_its_batch(here: Bench, desk: FakeBatchAPI) -> None:
    desk.plan = first_batch(polls=10_000, max_processed=4)
    job_id = post(here)
    step(here)
    with here.db.write() as tx:
        claim = claims.claim(tx, claims.ready(tx, ["enrich"])[0], worker="w", lease_s=0.0)
        assert claim is not None
        transitions.cancel(tx, job_id)
        tx.execute(update(Part).where(Part.id == claim.part_id).values(lease_expires_at=0.0))
        transitions.requeue_expired(tx, max_attempts=4)
    desk.batches[0].polls = 0
    until_ended(here, job_id)
    assert (here.job(job_id).result or {})["num_described"] == 4
