"""Outages: one pause for all calls, single probes, no label lost, and an end after the limit."""

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise

import pytest

from attributes.llm import concurrency, health
from attributes.llm.client import LLMClient, QueryTotals
from attributes.llm.health import ServerHealth, ServerUnavailable, duration
from attributes.llm.limits import NoLimit
from attributes.llm.results import QuestionResult
from attributes.llm.transport import RawResponse
from attributes.types import Label
from tests.attributes.conftest import RunQuestion, describe_question
from tests.attributes.fake_llm import (
    FakeLLM,
    FakeRequest,
    FakeResponse,
    Script,
    completion,
    error_response,
    respond_correctly,
)
from tests.attributes.llm.conftest import LABELS, QueryLabels

LOADING = {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}


def away(fault: Callable[[], FakeResponse], *, after: int, for_s: float) -> Script:
    """A server that is away for `for_s` seconds after its first `after` responses."""
    began: list[float] = []

    def script(request: FakeRequest, index: int) -> FakeResponse:
        if index < after:
            return respond_correctly(request, index)
        began.append(time.monotonic())
        return fault() if time.monotonic() - began[0] < for_s else respond_correctly(request, index)

    return script


OUTAGES = [
    pytest.param(
        lambda: FakeResponse(502, b"<html>Bad Gateway</html>"),
        10,
        marks=pytest.mark.quirk("nginx and other proxies", "502 while the server restarts", "waits; no label is lost"),
        id="bad gateway",
    ),
    pytest.param(
        lambda: FakeResponse(503, LOADING),
        0,
        marks=pytest.mark.quirk("llama.cpp", "503 `Loading model` after its start", "waits; no label is lost"),
        id="loading",
    ),
    pytest.param(
        lambda: error_response(500),
        10,
        marks=pytest.mark.quirk("any server", "500 for every request, for a while", "waits; no label is lost"),
        id="all 500",
    ),
    pytest.param(
        lambda: FakeResponse(drop=True),
        10,
        marks=pytest.mark.quirk("any server", "connections break for a while", "waits; no label is lost"),
        id="connections broken",
    ),
    pytest.param(
        lambda: error_response(429),
        10,
        marks=pytest.mark.quirk("any server", "429 without a time to wait", "probes one call at a time until it works"),
        id="rate limit",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "after"), OUTAGES)
def test_no_label_is_lost_to_an_outage(
    fault: Callable[[], FakeResponse], after: int, llm: FakeLLM, query_labels: QueryLabels
) -> None:
    llm.script = away(fault, after=after, for_s=0.5)
    totals, _ = query_labels()
    assert (totals.done, totals.failed) == (30, {})
    assert totals.calls == llm.num_calls


@pytest.mark.slow
def test_during_an_outage_one_call_at_a_time_is_sent(llm: FakeLLM, query_labels: QueryLabels) -> None:
    probes: list[tuple[float, float]] = []  # when each call that failed came and ended
    outage = away(lambda: error_response(500), after=10, for_s=1.0)

    def script(request: FakeRequest, index: int) -> FakeResponse:
        came_at = time.monotonic()
        time.sleep(0.01)
        response = outage(request, index)
        if response.status == 500:
            probes.append((came_at, time.monotonic()))
        return response

    llm.script = script
    totals, _ = query_labels(map(LABELS.__getitem__, range(20)), concurrency=8)
    assert totals.done == 20
    began = min(came_at for came_at, _ in probes)
    late = sorted(probe for probe in probes if probe[0] > began + 0.3)  # those that were in flight have ended
    assert len(late) >= 2
    assert all(ended_at <= came_at for (_, ended_at), (came_at, _) in pairwise(late))


@pytest.mark.slow
@pytest.mark.quirk("any server", "500 for one question only", "that label fails as `server_error`; the others are kept")
def test_a_question_that_the_server_cannot_answer_fails_alone(
    llm: FakeLLM, query_labels: QueryLabels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(concurrency, "PROBE_S", 0.1)
    for poisoned in ("bird 0", "bird 15", "bird 29"):  # first, between others, and when no other question is left
        llm.script = lambda request, index, poisoned=poisoned: (  # type: ignore[misc]
            error_response(500) if request.subject["label"] == poisoned else respond_correctly(request, index)
        )
        before = llm.num_calls
        totals, results = query_labels()
        assert (totals.done, totals.failed) == (29, {"server_error": 1})
        assert {one.question.label.name for one in results if one.reason} == {poisoned}
        assert totals.calls == llm.num_calls - before


@pytest.mark.slow
@pytest.mark.quirk(
    "any server", "no answer about one label within the timeout", "that label fails as `timeout`; the others are kept"
)
def test_a_question_that_always_times_out_fails_alone(llm: FakeLLM, make_client: Callable[..., LLMClient]) -> None:
    llm.script = lambda request, index: replace(
        respond_correctly(request, index), wait_s=0.4 if request.subject["label"] == "bird 5" else 0.0
    )

    async def main() -> QueryTotals:
        async with make_client(
            timeout_s=0.15, outage_limit_s=0.3
        ) as client:  # three timeouts are longer than an outage
            return await client.query_all(map(describe_question, LABELS[:6]), concurrency=1)

    totals = asyncio.run(main())
    assert (totals.done, totals.failed) == (5, {"timeout": 1})
    assert totals.calls == llm.num_calls


@pytest.mark.slow
def test_an_outage_that_is_too_long_ends_the_run_and_keeps_everything(llm: FakeLLM, run_question: RunQuestion) -> None:
    llm.script = lambda request, index: error_response(500, "out of memory")
    with pytest.raises(ServerUnavailable) as caught:
        run_question(outage_limit_s=0.3)
    assert caught.value.code == "llm_unavailable"
    assert "out of memory" in caught.value.message
    assert len(caught.value.calls) == llm.num_calls
    assert time.time() - caught.value.since >= 0.3


@pytest.mark.quirk(
    "any server", "asks to wait for hours", "the job ends at once as `llm_rate_limited`; what it has is kept"
)
def test_a_wait_of_hours_ends_the_run_at_once(llm: FakeLLM, run_question: RunQuestion) -> None:
    llm.script = lambda request, index: error_response(429, headers={"Retry-After": "9000"})
    with pytest.raises(ServerUnavailable) as caught:
        run_question(outage_limit_s=600)
    assert caught.value.code == "llm_rate_limited"
    assert "2.5 h" in caught.value.message
    assert llm.num_calls == 1


@pytest.mark.slow
def test_calls_in_flight_are_kept_when_the_server_asks_to_wait(
    llm: FakeLLM, make_client: Callable[..., LLMClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(concurrency, "PROBE_S", 0.05)
    monkeypatch.setattr(concurrency, "STOP_GRACE_S", 0.05)
    llm.script = lambda request, index: (
        replace(respond_correctly(request, index), wait_s=0.4)
        if request.subject["label"] == "bird 0"
        else error_response(429, headers={"Retry-After": "9000"})
    )
    results: list[QuestionResult] = []

    async def main() -> None:
        async with make_client() as client:
            await client.query_all(map(describe_question, LABELS[:4]), on_result=results.append)

    with pytest.raises(ServerUnavailable):
        asyncio.run(main())
    assert [one.question.label.name for one in results if one.reason is None] == ["bird 0"]
    assert sum(len(one.calls) for one in results) == llm.num_calls


@pytest.mark.slow
@pytest.mark.quirk(
    "llama.cpp, Ollama and others with one slot",
    "queues calls until they exceed the timeout",
    "starts with few calls in flight and adds more while they are answered in time",
)
def test_a_server_with_one_slot_is_not_sent_more_calls_than_it_answers(llm: FakeLLM, query_labels: QueryLabels) -> None:
    slot = threading.Lock()

    def script(request: FakeRequest, index: int) -> FakeResponse:
        with slot:
            time.sleep(0.15)
        return respond_correctly(request, index)

    llm.script = script
    totals, results = query_labels(LABELS[:20], timeout_s=1.5, concurrency=16)
    assert (totals.done, totals.failed) == (20, {})
    # With 16 calls in flight at once, six would time out in each round. A busy machine may delay a few.
    assert sum(call.status == "timeout" for result in results for call in result.calls) <= 3


AWAY = RawResponse(status="server_error", http_status=502, detail="HTTP 502")
OK = RawResponse(status="ok", http_status=200)


def server_health(*faults: RawResponse, limit_s: float = 600.0) -> ServerHealth:
    """The health of a server after these faults of calls that were sent together."""
    state, now = ServerHealth("the server", limit_s), time.monotonic()
    for number, fault in enumerate(faults):
        state.record(fault, started_at=now, source=f"question {number}")
    return state


def test_a_wait_of_hours_is_not_forgotten_when_another_call_fails() -> None:
    hours = RawResponse(status="rate_limited", http_status=429, detail="HTTP 429", retry_after_s=9000)
    for faults in ([hours, AWAY], [AWAY, hours, AWAY, AWAY]):
        with pytest.raises(ServerUnavailable) as caught:
            asyncio.run(asyncio.wait_for(server_health(*faults).wait(), 1))
        assert caught.value.code == "llm_rate_limited"
        assert caught.value.retry_in_s == pytest.approx(9000, abs=10)


def test_the_first_probe_does_not_wait_longer_because_many_calls_were_in_flight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "MAX_PROBE_S", 60.0)
    limited = RawResponse(status="rate_limited", http_status=429, detail="HTTP 429")
    for fault in (AWAY, limited):
        assert server_health(*[fault] * 64).wait_s() <= 4 * health.FIRST_PROBE_S


def test_another_call_that_ends_does_not_start_a_second_probe() -> None:
    state = server_health(*[replace(AWAY, retry_after_s=0.0)] * 3)
    assert state.try_start("a")
    state.abandon("b")
    assert not state.try_start("b")
    assert state.try_start("a")
    state.abandon("a")
    assert state.try_start("b")


def test_probes_wait_although_the_server_asks_to_retry_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "FIRST_PROBE_S", 50.0)
    monkeypatch.setattr(health, "MAX_PROBE_S", 50.0)
    at_once = replace(AWAY, retry_after_s=0.0)
    state = server_health(at_once, at_once, at_once)
    assert state.wait_s() == 0
    assert state.try_start("a")
    state.record(at_once, started_at=time.monotonic(), source="a")
    assert state.wait_s() > 0


def test_an_outage_continues_with_a_probe_in_the_next_run() -> None:
    state = ServerHealth("the server", 600)
    state.expect_outage_of(server_health(AWAY, AWAY, AWAY))
    assert state.try_start("a")
    assert not state.try_start("b")
    state.record(OK, started_at=time.monotonic(), source="a")
    assert state.try_start("b")
    assert state.try_start("a")
    recovered = ServerHealth("the server", 600)
    recovered.expect_outage_of(state)
    assert not recovered.is_away


@pytest.mark.slow
@pytest.mark.quirk(
    "gateways with a broken server among others", "half of the calls fail with 5xx, at random", "no label is lost"
)
def test_no_label_is_lost_to_a_server_that_fails_at_random(llm: FakeLLM, query_labels: QueryLabels) -> None:
    chance, lock = random.Random(1), threading.Lock()

    def script(request: FakeRequest, index: int) -> FakeResponse:
        with lock:
            fails = index > 8 and chance.random() < 0.55
        return error_response(chance.choice((500, 502))) if fails else respond_correctly(request, index)

    llm.script = script
    totals, _ = query_labels([Label(f"bird {i}") for i in range(150)])
    assert (totals.done, totals.failed) == (150, {})
    assert totals.calls == llm.num_calls


@pytest.mark.slow
@pytest.mark.quirk(
    "OpenRouter", "200 with `finish_reason: error` and usage, for every request", "each is billed, so each counts"
)
def test_a_question_has_no_more_billed_calls_than_the_estimate_says(llm: FakeLLM, run_question: RunQuestion) -> None:
    llm.script = lambda request, index: FakeResponse(body=completion("{", finish="error"))
    result = run_question(max_attempts=5)
    assert result.reason == "server_error"
    assert llm.num_calls == 5


@pytest.mark.slow
def test_an_outage_does_not_use_up_the_rate_limit(llm: FakeLLM, make_client: Callable[..., LLMClient]) -> None:
    class CountingLimit(NoLimit):
        num_slots = 0

        @asynccontextmanager
        async def slot(self, tokens: int) -> AsyncIterator[NoLimit]:
            self.num_slots += 1
            yield self

    limiter = CountingLimit()
    llm.script = away(lambda: error_response(500), after=10, for_s=0.5)

    async def main() -> QueryTotals:
        async with make_client(limiter=limiter) as client:
            return await client.query_all(map(describe_question, LABELS))

    assert asyncio.run(main()).done == 30
    assert limiter.num_slots == llm.num_calls


def test_durations_are_readable() -> None:
    assert [duration(seconds) for seconds in (45, 600, 9000)] == ["45 s", "10 min", "2.5 h"]
