"""Many questions at once: each reported when it ends, none lost, an orderly stop."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from attributes.llm import concurrency
from attributes.llm.client import LLMClient, QueryTotals
from attributes.llm.limits import LocalLimiter, Slot
from attributes.llm.response_format import ChatBody
from attributes.llm.results import FatalLLMError, QuestionResult
from attributes.llm.transport import RawResponse, Transport
from attributes.prompts.questions import Question
from attributes.types import Label
from tests.attributes.conftest import describe_question
from tests.attributes.fake_llm import (
    FakeLLM,
    FakeRequest,
    FakeResponse,
    completion,
    content_for_label,
    error_response,
    respond_correctly,
)
from tests.attributes.llm.conftest import LABELS, QueryLabels


def test_every_question_has_one_result(llm: FakeLLM, query_labels: QueryLabels) -> None:
    totals, results = query_labels(concurrency=7)
    assert Counter(result.question.label for result in results) == Counter(LABELS)
    assert all(result.question.label.name in result.lines[0].text for result in results)
    assert (totals.done, totals.failed.total(), totals.calls, totals.stopped) == (30, 0, 30, "")
    assert (totals.prompt_tokens, totals.completion_tokens) == (3000, 1200)


@pytest.mark.slow
def test_concurrency_limits_the_calls_in_flight(llm: FakeLLM, query_labels: QueryLabels) -> None:
    num_in_flight, max_in_flight, lock = 0, 0, threading.Lock()

    def script(request: FakeRequest, index: int) -> FakeResponse:
        nonlocal num_in_flight, max_in_flight
        with lock:
            num_in_flight += 1
            max_in_flight = max(max_in_flight, num_in_flight)
        time.sleep(0.2)
        with lock:
            num_in_flight -= 1
        return respond_correctly(request, index)

    llm.script = script
    query_labels(concurrency=6)
    assert max_in_flight == 6


@pytest.mark.slow
def test_failed_questions_have_reasons_and_the_others_are_kept(
    llm: FakeLLM, query_labels: QueryLabels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(concurrency, "PROBE_S", 0.1)

    def script(request: FakeRequest, index: int) -> FakeResponse:
        number = int(request.subject["label"].split()[1])
        if number % 3 == 0:
            return error_response(429)
        return (
            FakeResponse(body=completion(None, refusal="no")) if number % 3 == 1 else respond_correctly(request, index)
        )

    llm.script = script
    totals, results = query_labels()
    assert totals.done == 10
    assert totals.failed == {"rate_limited": 10, "refused": 10}
    reasons = {result.question.label.name: result.reason for result in results}
    assert all(reasons[f"bird {i}"] == ("rate_limited", "refused", None)[i % 3] for i in range(30))


def test_a_wrong_key_stops_the_run_at_the_first_call(llm: FakeLLM, query_labels: QueryLabels) -> None:
    llm.script = lambda request, index: error_response(401)
    results: list[QuestionResult] = []
    with pytest.raises(FatalLLMError):
        query_labels(results=results)
    assert llm.num_calls == 1
    (stopped,) = results  # its call is recorded as usage
    assert stopped.reason == "stopped"
    assert [call.status for call in stopped.calls] == ["llm_wrong_key"]


class SlowlyReleased(LocalLimiter):
    """Takes its time to end a call, as a limiter in Redis does."""

    @asynccontextmanager
    async def slot(self, tokens: int) -> AsyncIterator[Slot]:
        async with super().slot(tokens) as slot:
            try:
                yield slot
            finally:
                await asyncio.sleep(0.3)


@pytest.mark.slow
@pytest.mark.parametrize("limiter", [LocalLimiter(), SlowlyReleased()])
def test_calls_in_flight_are_kept_when_the_key_is_revoked(
    llm: FakeLLM, make_client: Callable[..., LLMClient], monkeypatch: pytest.MonkeyPatch, limiter: LocalLimiter
) -> None:
    """No call starts once the client has seen a refusal, and those that started before are recorded."""

    def script(request: FakeRequest, index: int) -> FakeResponse:
        if index >= 10:
            return error_response(401)
        return FakeResponse(body=completion(content_for_label(request.subject["label"])), wait_s=1.0 if index else 0)

    llm.script = script
    num_refused, num_late = 0, 0
    send = Transport.send

    async def watched(self: Transport, body: ChatBody) -> RawResponse:
        nonlocal num_refused, num_late
        num_late += num_refused > 0
        raw = await send(self, body)
        num_refused += raw.http_status == 401
        return raw

    monkeypatch.setattr(Transport, "send", watched)
    results: list[QuestionResult] = []

    async def main() -> None:
        async with make_client(limiter=limiter) as client:
            await client.query_all(map(describe_question, LABELS), concurrency=12, on_result=results.append)

    with pytest.raises(FatalLLMError):
        asyncio.run(main())
    assert sum(result.reason is None for result in results) == 10
    assert (num_refused, num_late) == (llm.num_calls - 10, 0)
    assert llm.num_calls == sum(len(result.calls) for result in results)


@pytest.mark.slow
def test_no_call_starts_while_a_fatal_result_is_reported(llm: FakeLLM, make_client: Callable[..., LLMClient]) -> None:
    llm.script = lambda request, index: error_response(404) if index else respond_correctly(request, index)

    async def slow_report(result: QuestionResult) -> None:
        if result.reason == "stopped":
            await asyncio.sleep(0.3)

    async def main() -> QueryTotals:
        async with make_client(limiter=LocalLimiter(in_flight=1)) as client:
            return await client.query_all(map(describe_question, LABELS), concurrency=8, on_result=slow_report)

    with pytest.raises(FatalLLMError):
        asyncio.run(main())
    assert llm.num_calls == 2


@pytest.mark.slow
def test_a_stop_starts_no_call_and_keeps_calls_in_flight(llm: FakeLLM, query_labels: QueryLabels) -> None:
    llm.script = lambda request, index: FakeResponse(
        body=completion(content_for_label(request.subject["label"])), wait_s=0.3 if index else 0
    )
    results: list[QuestionResult] = []
    totals, _ = query_labels(results=results, concurrency=4, should_stop=lambda: llm.num_calls >= 5)
    assert totals.stopped
    assert totals.done == llm.num_calls == len(results)
    assert 5 <= llm.num_calls < 30


@pytest.mark.slow
def test_a_stop_does_not_wait_for_a_server_that_hangs(
    llm: FakeLLM, query_labels: QueryLabels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(concurrency, "STOP_GRACE_S", 0.2)
    llm.script = lambda request, index: (
        FakeResponse(body=completion("delayed"), wait_s=30) if index else respond_correctly(request, index)
    )
    started = time.monotonic()
    totals, results = query_labels(concurrency=4, should_stop=lambda: llm.num_calls >= 5)
    assert time.monotonic() - started < 15
    assert (totals.done, totals.failed.total(), totals.stopped) == (1, 0, "asked")
    assert [result.reason for result in results] == [None] + ["stopped"] * 4
    assert totals.calls == llm.num_calls == 5  # the cancelled calls are recorded too


def test_a_stop_interrupts_waits(llm: FakeLLM, query_labels: QueryLabels) -> None:
    llm.script = lambda request, index: error_response(429, headers={"Retry-After": "30"})
    started = time.monotonic()
    totals, results = query_labels(should_stop=lambda: llm.num_calls >= 1)
    assert time.monotonic() - started < 15
    assert [result.reason for result in results] == ["stopped"]
    assert llm.num_calls == 1


def test_a_stop_from_the_start_sends_nothing(llm: FakeLLM, query_labels: QueryLabels) -> None:
    totals, results = query_labels(should_stop=lambda: True)
    assert (llm.num_calls, results, totals.stopped) == (0, [], "asked")


def test_on_result_may_be_async_and_its_error_ends_the_run(llm: FakeLLM, query_labels: QueryLabels) -> None:
    saved: list[str] = []

    async def save(result: QuestionResult) -> None:
        await asyncio.sleep(0)
        saved.append(result.question.label.name)
        if len(saved) == 3:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        query_labels(on_result=save, concurrency=1)
    assert len(saved) == 3


@pytest.mark.slow
def test_questions_are_taken_as_needed(llm: FakeLLM, query_labels: QueryLabels) -> None:
    num_taken = 0

    def endless() -> Iterator[Label]:
        nonlocal num_taken
        while True:
            num_taken += 1
            yield Label(f"bird {num_taken}")

    totals, results = query_labels(endless(), concurrency=3, should_stop=lambda: llm.num_calls >= 20)
    assert totals.done == len(results)
    assert num_taken <= totals.done + 3


def test_an_empty_list_ends_at_once(llm: FakeLLM, query_labels: QueryLabels) -> None:
    totals, _ = query_labels([])
    assert (totals.done, totals.calls, llm.num_calls) == (0, 0, 0)


async def delayed_questions(num_questions: int, *, wait_s: float = 0.002) -> AsyncIterator[Question]:
    for i in range(num_questions):
        await asyncio.sleep(wait_s)
        yield describe_question(f"bird {i}")


def test_questions_may_come_from_an_async_iterator(llm: FakeLLM, query_labels: QueryLabels) -> None:
    totals, results = query_labels(delayed_questions(20), concurrency=5)
    assert totals.done == llm.num_calls == 20
    assert len({result.key for result in results}) == 20


def test_a_stop_does_not_wait_for_the_async_iterator(llm: FakeLLM, query_labels: QueryLabels) -> None:
    started = time.monotonic()
    totals, _ = query_labels(delayed_questions(3, wait_s=30), should_stop=lambda: time.monotonic() - started > 0.2)
    assert time.monotonic() - started < 10
    assert (totals.done, totals.stopped) == (0, "asked")
