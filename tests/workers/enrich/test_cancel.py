"""A cancelled job starts no further call, whatever its calls wait for, and ends as soon as its calls in flight end.

So does a paused one; after the resume it makes the calls that are left.
"""

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import delete, func, select, update

from attributes.llm.transport import RawResponse
from store.enrich import single_flight
from store.lifecycle import control, transitions
from store.models import EnrichResult, LLMAnswer, LLMCall, LLMFlight
from tests.workers.enrich_bench import NAMES, Bench, InProcessLLM
from workers.runtime import lease_renewal
from workers.runtime.context import Context

POLL_S = 0.05  # of the lease's thread, in place of half a second


class ScriptedLLM(InProcessLLM):
    """Answers every call with `fault`, if there is one, and keeps the time of each call."""

    def __init__(self, fault: RawResponse | None = None, latency_s: float = 0.02) -> None:
        super().__init__(latency_s)
        self.fault = fault
        self.sent_at: list[float] = []

    async def send(self, body: Mapping[str, Any]) -> RawResponse:
        self.sent_at.append(time.monotonic())
        if self.fault is None:
            return await super().send(body)
        await asyncio.sleep(0)
        return self.fault


RATE_LIMITED = RawResponse(status="rate_limited", http_status=429, retry_after_s=30.0, detail="later")
BAD_GATEWAY = RawResponse(status="server_error", http_status=502, detail="HTTP 502: Bad Gateway")


@contextmanager
def working(bench: Bench) -> Iterator[None]:
    """Two workers in threads, until the block ends."""
    is_over = threading.Event()

    def work() -> None:
        while not is_over.is_set():
            bench.work()
            time.sleep(0.01)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("llm", "changes"),
    [
        (ScriptedLLM(latency_s=0.3), {}),
        (ScriptedLLM(RATE_LIMITED), {}),
        (ScriptedLLM(BAD_GATEWAY), {}),
        (ScriptedLLM(), {"llm_requests_per_min": 30}),
        (ScriptedLLM(), {"locked": True}),
    ],
    ids=["slow calls", "Retry-After", "outage", "rate limit", "locks of another job"],
)
def test_no_call_starts_after_a_cancel_and_the_job_ends(
    bench_on_sqlite: Bench, monkeypatch: pytest.MonkeyPatch, llm: ScriptedLLM, changes: dict[str, Any]
) -> None:
    bench, names = bench_on_sqlite, NAMES[:60]
    monkeypatch.setattr(lease_renewal, "STOP_POLL_S", POLL_S)
    monkeypatch.setattr("attributes.llm.transport.Transport.send", lambda _self, body: llm.send(body))
    if changes.pop("locked", False):
        lock_questions(bench, names[1:])
    settings = bench.context.settings.model_copy(update={"lease_s": 600.0, "llm_concurrency": 4, **changes})
    bench.context = Context(settings, bench.db, bench.context.artefacts, bench.context.shutting_down)
    llm.sent_at.clear()
    job_id = bench.post(bench.vocabulary(names), strategies=["sentence"])
    with working(bench):
        wait_for(lambda: llm.sent_at)
        time.sleep(0.2)
        with bench.db.write() as tx:
            transitions.cancel(tx, job_id)
        cancelled_at = time.monotonic()
        wait_for(lambda: bench.job(job_id).finished_at)
        took_s = time.monotonic() - cancelled_at
        time.sleep(0.3)
    late = [at - cancelled_at for at in llm.sent_at if at > cancelled_at + 1.0]
    assert (bench.job(job_id).status, late) == ("cancelled", [])
    assert took_s < 2.0
    with bench.db.read() as tx:
        assert tx.scalar(select(func.count()).select_from(LLMCall).where(LLMCall.job_id == job_id)) == len(llm.sent_at)
        assert set(tx.scalars(select(LLMFlight.owner))) <= {"prt_other"}


@pytest.mark.slow
def test_a_paused_job_starts_no_call_and_repeats_none_after_the_resume(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm, names = ScriptedLLM(latency_s=0.1), NAMES[:40]
    monkeypatch.setattr(lease_renewal, "STOP_POLL_S", POLL_S)
    monkeypatch.setattr("attributes.llm.transport.Transport.send", lambda _self, body: llm.send(body))
    settings = bench.context.settings.model_copy(update={"lease_s": 600.0, "llm_concurrency": 2})
    bench.context = Context(settings, bench.db, bench.context.artefacts, bench.context.shutting_down)
    job_id = bench.post(bench.vocabulary(names), strategies=["sentence"])
    with working(bench):
        wait_for(lambda: len(llm.sent_at) > 4)
        with bench.db.write() as tx:
            control.pause(tx, job_id)
        paused_at = time.monotonic()
        wait_for(lambda: bench.job(job_id).status == "paused")
        assert time.monotonic() - paused_at < 2.0
        sent = len(llm.sent_at)
        time.sleep(0.3)
        assert len(llm.sent_at) == sent < len(names)
        assert bench.job(job_id).status == "paused"
        with bench.db.write() as tx:
            control.resume(tx, job_id)
        wait_for(lambda: bench.job(job_id).finished_at)
    assert bench.job(job_id).status == "succeeded"
    assert len(llm.sent_at) == len(names)
    with bench.db.read() as tx:
        calls = tx.execute(select(LLMCall.key, LLMCall.status).where(LLMCall.job_id == job_id)).all()
    assert (len(calls), len(set(calls)), {status for _, status in calls}) == (len(names), len(names), {"ok"})


def lock_questions(bench: Bench, names: Sequence[str]) -> None:
    """Let another part hold the locks of the questions about these labels."""
    first = bench.run(bench.vocabulary(names), strategies=["sentence"])
    with bench.db.write() as tx:
        tx.execute(update(EnrichResult).values(key=None))
        tx.execute(delete(LLMAnswer))
        single_flight.acquire(tx, "prt_other", bench.call_keys(first.id), lease_s=600)


def wait_for(condition: Any) -> None:
    give_up_at = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)
