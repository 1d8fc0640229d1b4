"""Batch enrichment: no worker is occupied, no response is lost or paid twice, only missing questions are sent again.

Against the scripted server, with the worker's own functions, on both databases.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from attributes.llm.batches import batch_jobs
from attributes.llm.transport import Transport
from store.db import Database
from store.enrich import batches as rows
from store.enrich import usage
from store.jobs import claims
from store.lifecycle import transitions
from store.models import LLMBatch, LLMCall, LLMFlight, Part
from tests.attributes.fake_batch_api import FakeBatch, FakeBatchAPI
from tests.attributes.fake_llm import FakeLLM, FakeResponse, completion, error_response, respond_correctly
from tests.workers.enrich_bench import Bench, make_bench
from workers.dispatch import run_enrich
from workers.enrich import batch as batch_module
from workers.runtime import lease_renewal, run_part
from workers.runtime.context import Context

NAMES = [f"bird {n}" for n in range(12)]
PRICES = """
[[price]]
base_url = "{url}"
batch = "0.5"
[price.models]
fieldguide = {{ input = "2", output = "8" }}
"""
CALL_PUSD = (100 * 2_000_000 + 40 * 8_000_000) // 2  # the scripted server reports 100 and 40 tokens


@pytest.fixture
def api() -> Iterator[FakeBatchAPI]:
    with FakeLLM() as llm:
        yield FakeBatchAPI(llm)


@pytest.fixture
def bench(db: Database, api: FakeBatchAPI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return make_batch_bench(db, api, tmp_path, monkeypatch)


@pytest.fixture
def bench_on_sqlite(sqlite_db: Database, api: FakeBatchAPI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """On SQLite only, for tests without new queries."""
    return make_batch_bench(sqlite_db, api, tmp_path, monkeypatch)


def make_batch_bench(db: Database, api: FakeBatchAPI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    send = Transport.send
    bench = make_bench(db, tmp_path, monkeypatch)
    monkeypatch.setattr(Transport, "send", send)
    url = api.llm.url
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES.format(url=url))
    changes: dict[str, Any] = {"llm_base_url": url, "prices": prices, "llm_max_attempts": 2}
    settings = bench.context.settings.model_copy(update=changes)
    bench.context = Context(settings, db, bench.context.artefacts, bench.context.shutting_down)
    monkeypatch.setattr(batch_module, "FIRST_POLL_S", 0.0)
    monkeypatch.setattr(batch_module, "LAST_POLL_S", 0.05)
    monkeypatch.setattr(transitions, "STOPPING_POLL_S", 0.0)
    monkeypatch.setattr(run_part, "_RETRY_S", 0.0)
    return bench


def step(bench: Bench) -> None:
    """Run the next ready part once, if there is one."""
    if (part := bench.next_part()) is not None:
        run_enrich(bench.context, part.id)


def run_until_finished(bench: Bench, *job_ids: str) -> None:
    give_up = time.monotonic() + 30
    while any(bench.job(job_id).finished_at is None for job_id in job_ids):
        assert time.monotonic() < give_up
        step(bench)


def post(bench: Bench, names: list[str] = NAMES, **more: Any) -> str:
    return bench.post(bench.vocabulary(names), strategies=["sentence"], mode="batch", **more)


def usage_of(bench: Bench, job_id: str) -> tuple[int, int, int]:
    """Calls, pico-dollars and what is still reserved; checks that the totals equal the sums over the calls."""
    with bench.db.read() as tx:
        totals = usage.totals_of_job(tx, job_id)
        sums = tx.execute(
            select(func.count(), func.coalesce(func.sum(LLMCall.cost_pusd), 0)).where(LLMCall.job_id == job_id)
        ).one()
        modes = set(tx.scalars(select(LLMCall.mode)))
    assert totals is not None
    assert (totals.calls, totals.spent_pusd) == (sums[0], int(sums[1]))
    assert modes <= {"batch"}
    return totals.calls, totals.spent_pusd, totals.reserved_pusd + totals.reserved_tokens


def batch_sizes(api: FakeBatchAPI) -> list[int]:
    return [len(batch.lines) for batch in api.batches]


def first_batch(**changes: Any) -> Callable[[FakeBatch], None]:
    """A plan that sets attributes of the first batch."""

    def plan(batch: FakeBatch) -> None:
        if batch.id == "batch-0":
            for name, value in changes.items():
                setattr(batch, name, value)

    return plan


@pytest.mark.slow
def test_a_batch_costs_half_and_occupies_no_worker(bench: Bench, api: FakeBatchAPI) -> None:
    api.plan = first_batch(polls=3)
    job_id = post(bench)
    step(bench)  # submits
    step(bench)  # polls
    with bench.db.read() as tx:
        (part,) = tx.scalars(select(Part).where(Part.job_id == job_id, Part.kind == "describe"))
    assert (part.status, part.attempts, part.worker) == ("queued", 0, None)
    run_until_finished(bench, job_id)
    job = bench.job(job_id)
    assert (job.status, batch_sizes(api), api.llm.num_calls) == ("succeeded", [12], 12)
    assert (job.result or {})["num_described"] == 12
    assert usage_of(bench, job_id) == (12, 12 * CALL_PUSD, 0)
    again = post(bench)
    run_until_finished(bench, again)
    assert (batch_sizes(api), usage_of(bench, again)[0]) == ([12], 0)
    with bench.db.read() as tx:
        assert list(tx.scalars(select(LLMFlight.key))) == []


@pytest.mark.slow
def test_an_expired_batch_keeps_its_responses_and_the_rest_is_sent_again(bench: Bench, api: FakeBatchAPI) -> None:
    api.plan = first_batch(final_status="expired", max_processed=7)
    api.llm.script = lambda seen, nth: error_response(500) if nth == 3 else respond_correctly(seen, nth)
    job_id = post(bench)
    run_until_finished(bench, job_id)
    assert (bench.job(job_id).status, batch_sizes(api)) == ("succeeded", [12, 6])
    assert usage_of(bench, job_id) == (13, 12 * CALL_PUSD, 0)
    with bench.db.read() as tx:
        attempts = sorted(tx.scalars(select(LLMCall.attempt)))
    assert attempts == [1] * 12 + [2]  # the question that failed continues with its second attempt


@pytest.mark.slow
@pytest.mark.parametrize("at", ["file_id", "server_id"])
def test_a_worker_that_dies_while_it_submits_does_not_submit_twice(
    bench: Bench, api: FakeBatchAPI, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = rows.record

    def die_once(tx: Any, batch: LLMBatch, **values: Any) -> None:
        if at in {*values, *values.get("detail", {})}:
            monkeypatch.setattr(rows, "record", record)
            raise RuntimeError("killed")
        record(tx, batch, **values)

    monkeypatch.setattr(rows, "record", die_once)
    job_id = post(bench)
    run_until_finished(bench, job_id)
    assert (bench.job(job_id).status, batch_sizes(api)) == ("succeeded", [12])
    assert usage_of(bench, job_id) == (12, 12 * CALL_PUSD, 0)


@pytest.mark.slow
def test_a_worker_that_dies_while_it_collects_does_not_count_twice(
    bench: Bench, api: FakeBatchAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = rows.end

    def die_once(*args: Any, **kwargs: Any) -> None:
        monkeypatch.setattr(rows, "end", end)
        raise RuntimeError("killed")

    monkeypatch.setattr(rows, "end", die_once)
    job_id = post(bench, budget_tokens=1_000_000)
    run_until_finished(bench, job_id)
    assert (bench.job(job_id).status, batch_sizes(api)) == ("succeeded", [12])
    assert usage_of(bench, job_id) == (12, 12 * CALL_PUSD, 0)


@pytest.mark.slow
def test_cancel_ends_the_batch_and_keeps_its_responses(bench: Bench, api: FakeBatchAPI) -> None:
    api.plan = first_batch(polls=10_000, max_processed=5)
    job_id = post(bench)
    step(bench)
    step(bench)
    with bench.db.write() as tx:
        transitions.cancel(tx, job_id)
    assert bench.job(job_id).status == "cancelling"
    api.batches[0].polls = 1
    run_until_finished(bench, job_id)
    job = bench.job(job_id)
    assert ("POST", "/batches/batch-0/cancel") in api.requests
    assert (job.status, (job.result or {})["num_described"], batch_sizes(api)) == ("cancelled", 5, [12])
    assert (job.result or {})["attribute_set_id"]
    assert usage_of(bench, job_id) == (5, 5 * CALL_PUSD, 0)


@pytest.mark.slow
@pytest.mark.parametrize("during", ["upload", "retry of the upload", "next batch"])
def test_cancel_while_batches_are_submitted_creates_no_further_batch(
    bench_on_sqlite: Bench, api: FakeBatchAPI, monkeypatch: pytest.MonkeyPatch, during: str
) -> None:
    bench = bench_on_sqlite
    monkeypatch.setattr(lease_renewal, "STOP_POLL_S", 0.02)
    monkeypatch.setattr(batch_jobs, "MAX_REQUESTS", 6)
    uploads_before = 1 if during == "next batch" else 0
    job_id = post(bench)

    def cancel(method: str, path: str, _index: int) -> FakeResponse | None:
        if (method, path) != ("POST", "/files") or len(api.files) < uploads_before or bench.job(job_id).stopping:
            return None
        with bench.db.write() as tx:
            transitions.cancel(tx, job_id)
        if during == "retry of the upload":
            return error_response(503, headers={"Retry-After": "20"})
        time.sleep(0.5)
        return None

    api.fault = cancel
    started_at = time.monotonic()
    run_until_finished(bench, job_id)
    assert time.monotonic() - started_at < 10
    assert (bench.job(job_id).status, len(api.batches)) == ("cancelled", uploads_before)
    assert all(
        batch.status == "cancelled" or ("POST", f"/batches/{batch.id}/cancel") in api.requests for batch in api.batches
    )
    with bench.db.read() as tx:
        assert list(tx.scalars(select(LLMFlight.key))) == []


@pytest.mark.slow
def test_a_batch_has_as_many_questions_as_fit_the_budget(bench: Bench, api: FakeBatchAPI) -> None:
    job_id = post(bench, [f"{name} of the woods" for name in NAMES], budget_usd="0.006")
    run_until_finished(bench, job_id)
    job = bench.job(job_id)
    calls, pusd, reserved = usage_of(bench, job_id)
    assert (job.status, (job.error or {})["code"], reserved) == ("failed", "budget_spent", 0)
    assert len(api.batches) > 1
    assert 0 < calls == sum(batch_sizes(api)) == (job.result or {})["num_described"] < 12
    assert pusd == calls * CALL_PUSD <= 6_000_000_000
    assert f"{12 - calls} of 12 labels" in (job.error or {})["message"]


@pytest.mark.slow
def test_requests_with_unknown_usage_stay_reserved(bench_on_sqlite: Bench, api: FakeBatchAPI) -> None:
    bench = bench_on_sqlite

    def script(seen: Any, nth: int) -> FakeResponse:
        response = respond_correctly(seen, nth)
        del response.body["usage"]
        return response

    api.llm.script = script
    job_id = post(bench, NAMES[:2], budget_usd="1")
    run_until_finished(bench, job_id)
    calls, pusd, reserved = usage_of(bench, job_id)
    assert (bench.job(job_id).status, calls, pusd) == ("succeeded", 2, 0)
    assert reserved > 2 * CALL_PUSD


@pytest.mark.slow
def test_questions_that_no_batch_processes_fail_after_several_batches(
    bench_on_sqlite: Bench, api: FakeBatchAPI
) -> None:
    bench = bench_on_sqlite

    def plan(batch: FakeBatch) -> None:
        batch.final_status, batch.max_processed = "expired", 1

    api.plan = plan
    api.llm.script = lambda seen, nth: FakeResponse(body=completion(None, refusal="no"))
    job_id = post(bench, NAMES[:10])
    run_until_finished(bench, job_id)
    result = bench.job(job_id).result or {}
    rounds = len(api.batches)
    assert batch_sizes(api) == list(range(10, 10 - rounds, -1))
    assert result["failed_labels"] == {"refused": rounds, "batch_unfinished": 10 - rounds}


@pytest.mark.slow
def test_two_concurrent_jobs_share_a_batch(bench_on_sqlite: Bench, api: FakeBatchAPI) -> None:
    bench = bench_on_sqlite
    api.plan = first_batch(polls=4)
    first, second = post(bench), post(bench)
    run_until_finished(bench, first, second)
    assert batch_sizes(api) == [12]
    assert {bench.job(job_id).status for job_id in (first, second)} == {"succeeded"}
    assert usage_of(bench, second)[0] == 0


@pytest.mark.parametrize(
    ("fault", "code"), [(error_response(404), "llm_no_batches"), (error_response(401), "llm_wrong_key")]
)
def test_a_server_that_accepts_no_batch_fails_the_job(
    bench_on_sqlite: Bench, api: FakeBatchAPI, fault: FakeResponse, code: str
) -> None:
    bench = bench_on_sqlite
    api.fault = lambda method, path, nth: fault
    job_id = post(bench)
    run_until_finished(bench, job_id)
    assert (bench.job(job_id).error or {})["code"] == code


@pytest.mark.slow
def test_an_unavailable_server_is_polled_again(
    bench_on_sqlite: Bench, api: FakeBatchAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = bench_on_sqlite
    monkeypatch.setattr("attributes.llm.retry_policy.FIRST_WAIT_S", 0.001)
    api.fault = lambda method, path, nth: error_response(503) if nth < 5 or 8 < nth < 13 else None
    job_id = post(bench)
    run_until_finished(bench, job_id)
    assert (bench.job(job_id).status, batch_sizes(api)) == ("succeeded", [12])


@pytest.mark.slow
def test_a_stopping_job_keeps_its_batch_if_its_worker_is_lost(bench: Bench, api: FakeBatchAPI) -> None:
    api.plan = first_batch(polls=10_000, max_processed=4)
    job_id = post(bench)
    step(bench)
    with bench.db.write() as tx:
        claim = claims.claim(tx, claims.ready(tx, ["enrich"])[0], worker="w", lease_s=0.0)
        assert claim is not None
        transitions.cancel(tx, job_id)
        tx.execute(update(Part).where(Part.id == claim.part_id).values(lease_expires_at=0.0))
        transitions.requeue_expired(tx, max_attempts=4)
    api.batches[0].polls = 0
    run_until_finished(bench, job_id)
    assert (bench.job(job_id).result or {})["num_described"] == 4


ENQUEUED = "Enqueued token limit reached for m in organization org-1. Limit: 90,000 enqueued tokens."


@pytest.mark.slow
@pytest.mark.quirk(
    "OpenAI", "`Enqueued token limit reached` in a job", "the job waits and sends smaller batches; no label fails"
)
def test_batches_that_the_server_has_no_room_for_are_sent_again_in_halves(bench: Bench, api: FakeBatchAPI) -> None:
    def plan(batch: FakeBatch) -> None:
        if len(batch.lines) > 3:
            batch.final_status = "failed"
            batch.errors = [{"code": "token_limit_exceeded", "message": ENQUEUED, "line": None}]

    api.plan = plan
    job_id = post(bench, budget_tokens=1_000_000)
    run_until_finished(bench, job_id)
    job = bench.job(job_id)
    assert (job.status, (job.result or {})["num_described"]) == ("succeeded", 12)
    assert batch_sizes(api) == [12, 6, 3, 3, 3, 3]
    assert usage_of(bench, job_id) == (12, 12 * CALL_PUSD, 0)


@pytest.mark.slow
def test_a_batch_is_not_halved_if_others_fill_the_server(
    bench_on_sqlite: Bench, api: FakeBatchAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = bench_on_sqlite
    monkeypatch.setattr(batch_module, "FIRST_POLL_S", 0.3)  # the second job has its turn before the first is polled
    is_open = lambda: any(batch.status == "in_progress" for batch in api.batches)  # noqa: E731
    api.fault = lambda method, path, index: (
        error_response(429, ENQUEUED) if (method, path) == ("POST", "/batches") and is_open() else None
    )
    jobs = [post(bench), post(bench, names=[f"tree {n}" for n in range(8)])]
    run_until_finished(bench, *jobs)
    assert [bench.job(job_id).status for job_id in jobs] == ["succeeded", "succeeded"]
    assert batch_sizes(api) == [12, 8]
    with bench.db.read() as tx:
        statuses = set(tx.scalars(select(LLMBatch.status)))
    assert statuses == {"completed", "queue_full"}
