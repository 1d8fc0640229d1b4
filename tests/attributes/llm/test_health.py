"""Outages: one pause for all calls, single probes, no label lost, and an end after the limit."""

import threading
import time
from collections.abc import Callable

import pytest

from attributes.llm import concurrency
from attributes.llm.health import ServerUnavailable, duration
from tests.attributes.conftest import RunQuestion
from tests.attributes.fake_llm import FakeLLM, FakeRequest, FakeResponse, Script, error_response, respond_correctly
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
    in_flight, most, lock = 0, 0, threading.Lock()
    outage = away(lambda: error_response(500), after=10, for_s=1.0)

    def script(request: FakeRequest, index: int) -> FakeResponse:
        nonlocal in_flight, most
        with lock:
            in_flight += 1
        time.sleep(0.01)
        response = outage(request, index)
        with lock:
            if response.status == 500 and index > 24:  # by now all calls that were in flight have ended
                most = max(most, in_flight)
            in_flight -= 1
        return response

    llm.script = script
    totals, _ = query_labels(map(LABELS.__getitem__, range(20)), concurrency=8)
    assert totals.done == 20
    assert most == 1


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
@pytest.mark.quirk(
    "llama.cpp, Ollama and others with one slot",
    "queues calls until they exceed the timeout",
    "starts with few calls in flight and adds more while they are answered in time",
)
def test_a_server_with_one_slot_is_not_sent_more_calls_than_it_answers(llm: FakeLLM, query_labels: QueryLabels) -> None:
    slot = threading.Lock()

    def script(request: FakeRequest, index: int) -> FakeResponse:
        with slot:
            time.sleep(0.1)
        return respond_correctly(request, index)

    llm.script = script
    totals, results = query_labels(timeout_s=1.5, concurrency=16)
    assert (totals.done, totals.failed) == (30, {})
    assert llm.num_calls == 30  # no call timed out
    assert all(call.status == "ok" for result in results for call in result.calls)


def test_durations_are_readable() -> None:
    assert [duration(seconds) for seconds in (45, 600, 9000)] == ["45 s", "10 min", "2.5 h"]
