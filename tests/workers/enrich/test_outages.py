"""Outages of the LLM server in a job: parts wait, no label is lost, and the limit ends the job. On both databases."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import func, select

from attributes.llm import health
from attributes.llm.transport import RawResponse
from store.jobs import events
from store.models import LLMCall, LLMOutage, Part
from tests.workers.enrich_bench import NAMES, Bench, InProcessLLM
from workers.enrich import live
from workers.runtime import client_pool
from workers.runtime.context import Context


class UnreliableLLM(InProcessLLM):
    """Is away between its calls number `first` and `stop`; `fault` is what it then answers."""

    def __init__(self, fault: RawResponse, *, first: int, stop: int) -> None:
        super().__init__()
        self.fault, self.first, self.stop = fault, first, stop

    async def send(self, body: Mapping[str, Any]) -> RawResponse:
        if self.first <= self.calls < self.stop:
            self.calls += 1
            return self.fault
        return await super().send(body)


BAD_GATEWAY = RawResponse(status="server_error", http_status=502, detail="HTTP 502: Bad Gateway")


@pytest.fixture
def outage_bench(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench whose parts are deferred after 0.05 s of an outage, for 0.01 s."""
    monkeypatch.setattr(health, "FIRST_PROBE_S", 0.002)
    monkeypatch.setattr(health, "MAX_PROBE_S", 0.01)
    monkeypatch.setattr(client_pool, "OUTAGE_PATIENCE_S", 0.05)
    monkeypatch.setattr(live, "OUTAGE_RETRY_S", 0.01)
    return bench


def use(bench: Bench, monkeypatch: pytest.MonkeyPatch, llm: InProcessLLM) -> None:
    bench.llm = llm
    monkeypatch.setattr("attributes.llm.transport.Transport.send", lambda _self, body: llm.send(body))


def limit_outages(bench: Bench, limit_s: float) -> None:
    context = bench.context
    changed = context.settings.model_copy(update={"llm_outage_limit_s": limit_s})
    bench.context = Context(changed, context.db, context.artefacts, context.shutting_down)


def work_until_ended(bench: Bench, job_id: str) -> None:
    give_up = time.monotonic() + 30
    while bench.job(job_id).finished_at is None and time.monotonic() < give_up:
        bench.work()
        time.sleep(0.01)


def messages(bench: Bench, job_id: str) -> list[str]:
    with bench.db.read() as tx:
        return [event.message for event in events.after(tx, job_id, 0, limit=1000)]


@pytest.mark.slow
def test_an_outage_defers_the_parts_and_loses_no_label(outage_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = outage_bench
    use(bench, monkeypatch, UnreliableLLM(BAD_GATEWAY, first=5, stop=120))
    job_id = bench.post(bench.vocabulary(NAMES[:40]), strategies=["sentence"])
    work_until_ended(bench, job_id)
    job = bench.job(job_id)
    assert (job.status, (job.result or {})["failed_labels"]) == ("succeeded", {})
    assert any("does not respond" in message for message in messages(bench, job_id))
    assert any("trying again in" in message for message in messages(bench, job_id))
    with bench.db.read() as tx:
        assert tx.scalar(select(func.count()).select_from(LLMCall).where(LLMCall.job_id == job_id)) == bench.llm.calls
        assert max(tx.scalars(select(Part.attempts).where(Part.job_id == job_id))) < 1_000
        assert tx.scalar(select(func.count()).select_from(Part).where(Part.status == "failed")) == 0


@pytest.mark.slow
def test_a_long_outage_ends_the_job_and_posting_it_again_continues(
    outage_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = outage_bench
    limit_outages(bench, 0.4)
    llm = UnreliableLLM(BAD_GATEWAY, first=10, stop=10**9)
    use(bench, monkeypatch, llm)
    vocabulary_id = bench.vocabulary(NAMES[:40])
    job_id = bench.post(vocabulary_id, strategies=["sentence"])
    work_until_ended(bench, job_id)
    job = bench.job(job_id)
    assert (job.status, (job.error or {})["code"]) == ("failed", "llm_unavailable")
    assert "Bad Gateway" in (job.error or {})["message"]
    result = job.result or {}
    assert result["num_described"] == 10
    assert result["attribute_set_id"]
    assert "server_error" not in result["failed_labels"]
    llm.stop = 0
    second = bench.run(vocabulary_id, strategies=["sentence"])
    assert (second.status, (second.result or {})["usage"]["calls"]) == ("succeeded", 30)


@pytest.mark.slow
def test_a_wait_of_hours_ends_the_job_at_once(outage_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = outage_bench
    fault = RawResponse(status="rate_limited", http_status=429, detail="HTTP 429: daily limit", retry_after_s=7_200)
    use(bench, monkeypatch, UnreliableLLM(fault, first=10, stop=10**9))
    started = time.monotonic()
    job = bench.run(bench.vocabulary(NAMES[:40]), strategies=["sentence"])
    assert (job.status, (job.error or {})["code"]) == ("failed", "llm_rate_limited")
    assert (job.result or {})["num_described"] == 10
    assert time.monotonic() - started < 20


@pytest.mark.slow
def test_a_wait_of_a_minute_frees_the_worker(outage_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = outage_bench
    fault = RawResponse(status="rate_limited", http_status=429, detail="HTTP 429: slow down", retry_after_s=60)
    use(bench, monkeypatch, UnreliableLLM(fault, first=0, stop=1))
    job_id = bench.post(bench.vocabulary(NAMES[:16]), strategies=["sentence"])
    bench.work()
    assert bench.job(job_id).status == "running"
    with bench.db.read() as tx:
        (part,) = tx.scalars(select(Part).where(Part.job_id == job_id, Part.kind == "describe"))
        assert part.status == "queued"
        assert 30 < part.not_before - time.time() <= 60
        assert tx.scalars(select(LLMOutage.model)).all() == ["fieldguide"]


class PoisonedLLM(InProcessLLM):
    """Never answers about one label within the time limit, which is longer than a part waits during an outage."""

    async def send(self, body: Mapping[str, Any]) -> RawResponse:
        if f'"{NAMES[3]}"' in str(body["messages"][-1]["content"]):
            self.calls += 1
            await asyncio.sleep(0.06)
            return RawResponse(status="timeout", detail="no complete response within 0.06 s")
        return replace(await super().send(body), http_status=200)


@pytest.mark.slow
def test_a_label_that_always_times_out_does_not_end_the_job(
    outage_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = outage_bench
    limit_outages(bench, 3)
    use(bench, monkeypatch, PoisonedLLM())
    vocabulary_id = bench.vocabulary(NAMES[:6])
    for _ in range(2):  # the second job has only this label left
        job_id = bench.post(vocabulary_id, strategies=["sentence"])
        work_until_ended(bench, job_id)
        job = bench.job(job_id)
        assert (job.status, (job.result or {})["failed_labels"]) == ("succeeded", {"timeout": 1})


@pytest.mark.slow
def test_a_server_that_asks_to_wait_again_and_again_ends_the_job(
    outage_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = outage_bench
    limit_outages(bench, 2.0)
    monkeypatch.setattr(live, "OUTAGE_GAP_S", 0.6)  # shorter than the waits
    fault = RawResponse(status="rate_limited", http_status=429, detail="HTTP 429: slow down", retry_after_s=0.8)
    llm = UnreliableLLM(fault, first=0, stop=10**9)
    use(bench, monkeypatch, llm)
    job_id = bench.post(bench.vocabulary(NAMES[:4]), strategies=["sentence"])
    work_until_ended(bench, job_id)
    assert (bench.job(job_id).error or {})["code"] == "llm_rate_limited"
    assert llm.calls <= 4  # at once, and after each wait within the limit
