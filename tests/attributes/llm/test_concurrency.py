"""Many questions at once: each reported when it ends, none lost, an orderly stop."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from attributes.llm import concurrency
from attributes.llm.client import LLMClient, QueryTotals
from attributes.llm.limits import LocalLimiter
from attributes.llm.results import FatalLLMError, QuestionResult
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

LABELS = [Label(f"bird {i}") for i in range(30)]
Run = Callable[..., tuple[QueryTotals, list[QuestionResult]]]


@pytest.fixture
def run(make_client: Callable[..., LLMClient]) -> Run:
    """Describes all labels; returns the totals and the results."""

    def query_all(
        labels: Any = LABELS, *, results: list[QuestionResult] | None = None, **options: Any
    ) -> tuple[QueryTotals, list[QuestionResult]]:
        saved = [] if results is None else results

        async def main() -> QueryTotals:
            async with make_client() as client:
                return await client.query_all(
                    labels if isinstance(labels, AsyncIterator) else map(describe_question, labels),
                    **({"on_result": saved.append} | options),
                )

        return asyncio.run(main()), saved

    return query_all


def test_every_question_has_one_result(llm: FakeLLM, run: Run) -> None:
    totals, results = run(concurrency=7)
    assert Counter(result.question.label for result in results) == Counter(LABELS)
    assert all(result.question.label.name in result.lines[0].text for result in results)
    assert (totals.done, totals.failed.total(), totals.calls, totals.stopped) == (30, 0, 30, "")
    assert (totals.prompt_tokens, totals.completion_tokens) == (3000, 1200)


def test_concurrency_limits_the_calls_in_flight(llm: FakeLLM, run: Run) -> None:
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
    run(concurrency=6)
    assert max_in_flight == 6


def test_failed_questions_have_reasons_and_the_others_are_kept(llm: FakeLLM, run: Run) -> None:
    def script(request: FakeRequest, index: int) -> FakeResponse:
        number = int(request.subject["label"].split()[1])
        if number % 3 == 0:
            return error_response(429)
        return (
            FakeResponse(body=completion(None, refusal="no")) if number % 3 == 1 else respond_correctly(request, index)
        )

    llm.script = script
    totals, results = run()
    assert totals.done == 10
    assert totals.failed == {"rate_limited": 10, "refused": 10}
    reasons = {result.question.label.name: result.reason for result in results}
    assert all(reasons[f"bird {i}"] == ("rate_limited", "refused", None)[i % 3] for i in range(30))


def test_a_wrong_key_stops_the_run_at_the_first_call(llm: FakeLLM, run: Run) -> None:
    llm.script = lambda request, index: error_response(401)
    results: list[QuestionResult] = []
    with pytest.raises(FatalLLMError):
        run(results=results)
    assert llm.num_calls == 1
    (stopped,) = results  # its call is recorded as usage
    assert stopped.reason == "stopped"
    assert [call.status for call in stopped.calls] == ["llm_wrong_key"]


def test_a_server_that_refuses_every_format_of_every_question_stops_the_run(llm: FakeLLM, run: Run) -> None:
    llm.script = lambda request, index: error_response(400, "this server is pinned to another model")
    results: list[QuestionResult] = []
    with pytest.raises(FatalLLMError, match="refuses every request: model 'm'.*pinned to another") as caught:
        run(results=results, concurrency=2)
    assert caught.value.code == "llm_bad_request"
    assert llm.num_calls == sum(len(result.calls) for result in results) <= 16
    assert [result.reason for result in results].count("bad_request") == 2


def test_single_refused_questions_do_not_stop_the_run(llm: FakeLLM, run: Run) -> None:
    llm.script = lambda request, index: (
        error_response(400) if int(request.subject["label"][5:]) % 5 < 4 else respond_correctly(request, index)
    )
    totals, _ = run(LABELS[4:], concurrency=1)
    assert totals.done == 6
    assert totals.failed == {"bad_request": 20}


def test_calls_in_flight_are_kept_when_the_key_is_revoked(llm: FakeLLM, run: Run) -> None:
    def script(request: FakeRequest, index: int) -> FakeResponse:
        if index >= 10:
            return error_response(401)
        return FakeResponse(body=completion(content_for_label(request.subject["label"])), wait_s=1.0 if index else 0)

    llm.script = script
    results: list[QuestionResult] = []
    with pytest.raises(FatalLLMError):
        run(results=results, concurrency=12)
    assert sum(result.reason is None for result in results) == 10
    assert llm.num_calls == sum(len(result.calls) for result in results) <= 13


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


def test_retry_after_applies_to_all_questions(llm: FakeLLM, run: Run) -> None:
    def script(request: FakeRequest, index: int) -> FakeResponse:
        response = FakeResponse(body=completion(content_for_label(request.subject["label"])), wait_s=0.3)
        return error_response(429, headers={"Retry-After": "2"}) if index == 3 else response

    llm.script = script
    run(LABELS[:8], concurrency=2)
    refused_at = llm.requests[3].received_at
    num_during_wait = sum(0 < request.received_at - refused_at < 1.95 for request in llm.requests)
    assert num_during_wait <= 1  # the other call that was in flight
    assert llm.num_calls == 9


def test_a_stop_starts_no_call_and_keeps_calls_in_flight(llm: FakeLLM, run: Run) -> None:
    llm.script = lambda request, index: FakeResponse(
        body=completion(content_for_label(request.subject["label"])), wait_s=0.3 if index else 0
    )
    results: list[QuestionResult] = []
    totals, _ = run(results=results, concurrency=4, should_stop=lambda: llm.num_calls >= 5)
    assert totals.stopped
    assert totals.done == llm.num_calls == len(results)
    assert 5 <= llm.num_calls < 30


def test_a_stop_does_not_wait_for_a_server_that_hangs(llm: FakeLLM, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "STOP_GRACE_S", 0.2)
    llm.script = lambda request, index: (
        FakeResponse(body=completion("delayed"), wait_s=30) if index else respond_correctly(request, index)
    )
    started = time.monotonic()
    totals, results = run(concurrency=4, should_stop=lambda: llm.num_calls >= 5)
    assert time.monotonic() - started < 15
    assert (totals.done, totals.failed.total(), totals.stopped) == (1, 0, "asked")
    assert [result.reason for result in results] == [None] + ["stopped"] * 4
    assert totals.calls == llm.num_calls == 5  # the cancelled calls are recorded too


def test_a_stop_interrupts_waits(llm: FakeLLM, run: Run) -> None:
    llm.script = lambda request, index: error_response(429, headers={"Retry-After": "30"})
    started = time.monotonic()
    totals, results = run(should_stop=lambda: llm.num_calls >= 1)
    assert time.monotonic() - started < 15
    assert [result.reason for result in results] == ["stopped"]
    assert llm.num_calls == 1


def test_a_stop_from_the_start_sends_nothing(llm: FakeLLM, run: Run) -> None:
    totals, results = run(should_stop=lambda: True)
    assert (llm.num_calls, results, totals.stopped) == (0, [], "asked")


def test_on_result_may_be_async_and_its_error_ends_the_run(llm: FakeLLM, run: Run) -> None:
    saved: list[str] = []

    async def save(result: QuestionResult) -> None:
        await asyncio.sleep(0)
        saved.append(result.question.label.name)
        if len(saved) == 3:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run(on_result=save, concurrency=1)
    assert len(saved) == 3


def test_questions_are_taken_as_needed(llm: FakeLLM, run: Run) -> None:
    num_taken = 0

    def endless() -> Iterator[Label]:
        nonlocal num_taken
        while True:
            num_taken += 1
            yield Label(f"bird {num_taken}")

    totals, results = run(endless(), concurrency=3, should_stop=lambda: llm.num_calls >= 20)
    assert totals.done == len(results)
    assert num_taken <= totals.done + 3


def test_an_empty_list_ends_at_once(llm: FakeLLM, run: Run) -> None:
    totals, _ = run([])
    assert (totals.done, totals.calls, llm.num_calls) == (0, 0, 0)


async def delayed_questions(num_questions: int, *, wait_s: float = 0.002) -> AsyncIterator[Question]:
    for i in range(num_questions):
        await asyncio.sleep(wait_s)
        yield describe_question(f"bird {i}")


def test_questions_may_come_from_an_async_iterator(llm: FakeLLM, run: Run) -> None:
    totals, results = run(delayed_questions(20), concurrency=5)
    assert totals.done == llm.num_calls == 20
    assert len({result.key for result in results}) == 20


def test_a_stop_does_not_wait_for_the_async_iterator(llm: FakeLLM, run: Run) -> None:
    started = time.monotonic()
    totals, _ = run(delayed_questions(3, wait_s=30), should_stop=lambda: time.monotonic() - started > 0.2)
    assert time.monotonic() - started < 10
    assert (totals.done, totals.stopped) == (0, "asked")
