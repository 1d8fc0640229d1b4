"""Live enrichment: which questions are sent, repeated and shared between jobs. On both databases."""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from sqlalchemy import select, update

from attributes.llm.results import QuestionResult
from attributes.llm.transport import RawResponse
from limbeck.shared.failure_reasons import FAILURE_REASONS
from store.enrich import single_flight
from store.jobs import events
from store.models import EnrichResult, LLMAnswer, LLMCall, LLMFlight, Part
from store.sets import attribute_sets
from tests.workers.enrich_bench import NAMES, Bench
from workers.enrich import live


@pytest.mark.slow
def test_a_second_run_sends_nothing_also_in_another_order(bench: Bench) -> None:
    first = bench.run(bench.vocabulary(NAMES[:20]), strategies=["sentence"])
    calls = bench.llm.calls
    second = bench.run(bench.vocabulary(NAMES[:20][::-1]), strategies=["sentence"])
    assert bench.llm.calls == calls == 20
    assert bench.lines(second) == bench.lines(first)[::-1]
    assert (second.result or {})["usage"]["calls"] == 0


@pytest.mark.slow
def test_a_language_is_asked_for_in_every_strategy_and_named_in_the_set(bench: Bench) -> None:
    sent: list[list[str]] = []
    send = bench.llm.send

    async def record(body: Mapping[str, Any]) -> RawResponse:
        sent.append([message["content"] for message in body["messages"]])
        return await send(body)

    bench.llm.send = record  # type: ignore[method-assign]
    vocabulary_id = bench.vocabulary(NAMES[:2])
    strategies = ["sentence", "phrases"]
    english = bench.run(vocabulary_id, strategies=strategies)
    german = bench.run(vocabulary_id, strategies=strategies, language="German", system_prompt="You are a botanist.")
    assert len(sent) == 8
    assert not any("German" in text for message in sent[:4] for text in message)
    for system, user in sent[4:]:
        assert system.startswith("You are a botanist.")
        assert "German" in system
        assert "Write in German" in user
    with bench.db.read() as tx:
        sources = [attribute_sets.get(tx, (job.result or {})["attribute_set_id"]).source for job in (english, german)]
    assert "language" not in sources[0]
    assert (sources[1]["language"], sources[1]["system_prompt"]) == ("German", "You are a botanist.")


@pytest.mark.slow
def test_two_concurrent_jobs_make_each_call_once(bench: Bench) -> None:
    bench.llm.latency_s = 0.05
    ids = [bench.post(bench.vocabulary(NAMES[:32]), strategies=["sentence"]) for _ in range(2)]

    def work() -> None:
        give_up = time.monotonic() + 30
        while any(bench.job(id).status != "succeeded" for id in ids) and time.monotonic() < give_up:
            bench.work()
            time.sleep(0.05)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one, other = (bench.job(id) for id in ids)
    assert (one.status, other.status) == ("succeeded", "succeeded")
    assert bench.llm.calls == 32
    assert bench.lines(one) == bench.lines(other)
    assert sum((job.result or {})["usage"]["calls"] for job in (one, other)) == 32
    with bench.db.read() as tx:
        assert tx.scalars(select(LLMFlight.key)).all() == []


@pytest.mark.slow
def test_a_call_that_failed_in_another_job_is_repeated(bench: Bench) -> None:
    bench.llm.refused = dict.fromkeys(NAMES[:3], 1)
    ids = [bench.post(bench.vocabulary(NAMES[:3]), strategies=["sentence"]) for _ in range(2)]
    bench.work()
    results = [bench.job(id).result or {} for id in ids]
    assert [one["failed_labels"] for one in results] == [{"refused": 3}, {}]
    assert bench.llm.calls == 6


@pytest.mark.slow
def test_partly_failed_labels_are_counted_by_reason(bench: Bench) -> None:
    bench.llm.refused = {NAMES[1]: 1}
    job = bench.run(bench.vocabulary(NAMES[:3]), strategies=["sentence", "phrases"])
    assert job.result is not None
    assert (job.result["num_described"], job.result["failed_labels"]) == (3, {})
    assert (job.result["partly_failed_labels"], job.result["partly_failed_positions"]) == ({"refused": 1}, [1])
    assert sum(one["failed"].get("refused", 0) for one in job.result["strategies"]) == 1
    (reason,) = job.result["failed_reasons"]
    assert (reason["reason"], reason["count"], reason["partly_count"]) == ("refused", 0, 1)
    assert reason["examples"] == [{"position": 1, "subject": NAMES[1], "detail": "I would rather not."}]
    assert reason["remedy"] == FAILURE_REASONS["refused"].remedy
    assert job.result["calls_by_status"] == {"ok": 5, "refused": 1}


@pytest.mark.slow
def test_a_part_waits_for_the_locks_of_a_dead_worker_and_takes_them_when_they_expire(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_MAX_WAIT_S", 0.1)
    monkeypatch.setattr(live, "_POLL_S", 0.05)
    first = bench.run(bench.vocabulary(NAMES[:3]), strategies=["sentence"])
    keys = bench.call_keys(first.id)
    with bench.db.write() as tx:
        tx.execute(update(EnrichResult).values(key=None))
        tx.execute(LLMAnswer.__table__.delete())  # type: ignore[attr-defined]
        assert single_flight.acquire(tx, "prt_dead", keys, lease_s=60) == set(keys)
    id = bench.post(bench.vocabulary(NAMES[:4]), strategies=["sentence"])
    bench.work()  # sends the fourth question, then the part is deferred
    with bench.db.read() as tx:
        part = tx.scalars(select(Part).where(Part.job_id == id, Part.kind == "describe")).one()
        assert (part.status, part.attempts, part.done) == ("queued", 0, 1)
    assert bench.llm.calls == 4
    with bench.db.write() as tx:
        single_flight.renew(tx, "prt_dead", lease_s=-1)
        tx.execute(update(Part).values(not_before=0.0))
    bench.work()
    assert (bench.job(id).status, bench.llm.calls) == ("succeeded", 7)


@pytest.mark.slow
def test_a_retried_part_sends_only_questions_without_a_committed_response(bench: Bench) -> None:
    """The retried part still owns the locks of its last attempt, so that it continues at once."""
    id = bench.post(bench.vocabulary(NAMES[:16]), strategies=["sentence"])
    write = live.LiveEnrichment._write
    committed: list[QuestionResult] = []

    def write_once(self: live.LiveEnrichment, finished: Sequence[QuestionResult]) -> None:
        if committed:
            raise MemoryError("the worker is gone")
        write(self, finished)
        committed.extend(finished)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live.LiveEnrichment, "_write", write_once)
        patch.setattr(live.LiveEnrichment, "_release_locks", lambda _self: None)
        part_id = bench.run_next_part()
    calls = bench.llm.calls
    assert 0 < len(committed) < 16
    with bench.db.write() as tx:
        assert tx.scalars(select(LLMFlight.owner)).first() == part_id
        tx.execute(update(Part).values(not_before=0.0))
    bench.work()
    assert bench.job(id).status == "succeeded"
    assert bench.llm.calls == calls + 16 - len(committed)


@pytest.mark.slow
def test_responses_are_kept_if_the_lease_is_lost(bench: Bench) -> None:
    """Calls and responses are paid for, so they are recorded; results and locks belong to the next attempt."""
    id = bench.post(bench.vocabulary(NAMES[:4]), strategies=["sentence"])
    write = live.LiveEnrichment._write

    def write_late(self: live.LiveEnrichment, finished: Sequence[QuestionResult]) -> None:
        with bench.db.write() as tx:
            tx.execute(update(Part).where(Part.kind == "describe").values(lease_token="another"))
        write(self, finished)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live.LiveEnrichment, "_write", write_late)
        bench.run_next_part()
    with bench.db.write() as tx:
        assert tx.scalars(select(EnrichResult.key)).all() == []
        kept = set(tx.scalars(select(LLMAnswer.key)))
        assert kept
        tx.execute(update(Part).where(Part.kind == "describe").values(status="queued", not_before=0.0))
    assert set(bench.call_keys(id)) == kept
    bench.work()
    job = bench.job(id)
    assert (job.status, (job.result or {})["num_described"], (job.result or {})["usage"]["calls"]) == (
        "succeeded",
        4,
        4,
    )


def test_a_fatal_llm_error_fails_the_job_and_its_call_is_recorded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def send(_body: object) -> RawResponse:
        return RawResponse(status="llm_unknown_model", latency_s=0.0, http_status=404, detail="no such model")

    monkeypatch.setattr(bench.llm, "send", send)
    job = bench.run(bench.vocabulary(NAMES[:20]), strategies=["sentence"])
    assert job.status == "failed"
    assert job.error is not None
    assert job.error["code"] == "llm_unknown_model"
    with bench.db.read() as tx:
        calls = tx.scalars(select(LLMCall)).all()
        attempts = tx.scalars(select(Part.attempts).where(Part.kind == "describe").order_by(Part.position)).all()
    assert attempts == [1, 0]  # the second part never started
    assert {call.status for call in calls} == {"llm_unknown_model"}
    assert all(call.key for call in calls)


def test_failures_above_the_limit_have_one_event_together(
    bench_on_sqlite: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = bench_on_sqlite
    monkeypatch.setattr(live, "MAX_FAILURE_EVENTS", 1)
    bench.llm.refused = dict.fromkeys(NAMES[:3], 1)
    job = bench.run(bench.vocabulary(NAMES[:3]), strategies=["sentence"])
    messages = event_messages(bench, job.id)
    assert [text for text in messages if "no valid response about" in text] == [
        f'sentence@1: no valid response about "{NAMES[0]}": refused'
    ]
    assert "2 more questions without a valid response" in messages


def event_messages(bench: Bench, job_id: str) -> list[str]:
    with bench.db.read() as tx:
        return [event.message for event in events.after(tx, job_id, 0, limit=100)]
