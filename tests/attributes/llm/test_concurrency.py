"""Many labels at once: each reported as it ends, none lost, all stopped in order."""

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
    """Describes all labels; the totals and the results."""

    def all_of(
        labels: Any = LABELS, *, results: list[QuestionResult] | None = None, **how: Any
    ) -> tuple[QueryTotals, list[QuestionResult]]:
        kept = [] if results is None else results

        async def go() -> QueryTotals:
            async with make_client() as client:
                return await client.query_all(
                    labels if isinstance(labels, AsyncIterator) else map(describe_question, labels),
                    **({"on_result": kept.append} | how),
                )

        return asyncio.run(go()), kept

    return all_of


def test_every_label_ends_once(llm: FakeLLM, run: Run) -> None:
    totals, results = run(concurrency=7)
    assert Counter(result.question.label for result in results) == Counter(LABELS)
    assert all(result.question.label.name in result.lines[0].text for result in results)
    assert (totals.done, totals.failed.total(), totals.calls, totals.stopped) == (30, 0, 30, "")
    assert (totals.prompt_tokens, totals.completion_tokens) == (3000, 1200)


def test_as_many_calls_as_allowed_are_in_flight(llm: FakeLLM, run: Run) -> None:
    flying, most, lock = 0, 0, threading.Lock()

    def script(request: FakeRequest, index: int) -> FakeResponse:
        nonlocal flying, most
        with lock:
            flying += 1
            most = max(most, flying)
        time.sleep(0.2)
        with lock:
            flying -= 1
        return respond_correctly(request, index)

    llm.script = script
    run(concurrency=6)
    assert most == 6


def test_labels_that_fail_are_named_and_the_others_kept(llm: FakeLLM, run: Run) -> None:
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


def test_a_wrong_key_stops_the_list_at_its_first_call(llm: FakeLLM, run: Run) -> None:
    llm.script = lambda request, index: error_response(401)
    results: list[QuestionResult] = []
    with pytest.raises(FatalLLMError):
        run(results=results)
    assert llm.num_calls == 1
    (stopped,) = results  # its call belongs in the ledger
    assert stopped.reason == "stopped"
    assert [call.status for call in stopped.calls] == ["llm_wrong_key"]


def test_a_server_that_refuses_every_form_of_every_question_stops_the_list(llm: FakeLLM, run: Run) -> None:
    llm.script = lambda request, index: error_response(400, "this server is pinned to another model")
    results: list[QuestionResult] = []
    with pytest.raises(FatalLLMError, match="refuses every request: model 'm'.*pinned to another") as caught:
        run(results=results, concurrency=2)
    assert caught.value.code == "llm_bad_request"
    assert llm.num_calls == sum(len(result.calls) for result in results) <= 16
    assert [result.reason for result in results].count("bad_request") == 2


def test_single_questions_that_are_refused_do_not_stop_the_others(llm: FakeLLM, run: Run) -> None:
    llm.script = lambda request, index: (
        error_response(400) if int(request.subject["label"][5:]) % 5 < 4 else respond_correctly(request, index)
    )
    totals, _ = run(LABELS[4:], concurrency=1)
    assert totals.done == 6
    assert totals.failed == {"bad_request": 20}


def test_a_key_that_is_withdrawn_midway_keeps_what_is_in_flight(llm: FakeLLM, run: Run) -> None:
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


def test_no_call_is_begun_while_the_report_of_a_fatal_one_is_written(
    llm: FakeLLM, make_client: Callable[..., LLMClient]
) -> None:
    llm.script = lambda request, index: error_response(404) if index else respond_correctly(request, index)

    async def write(result: QuestionResult) -> None:
        if result.reason == "stopped":
            await asyncio.sleep(0.3)

    async def go() -> QueryTotals:
        async with make_client(limiter=LocalLimiter(in_flight=1)) as client:
            return await client.query_all(map(describe_question, LABELS), concurrency=8, on_result=write)

    with pytest.raises(FatalLLMError):
        asyncio.run(go())
    assert llm.num_calls == 2


def test_retry_after_holds_all_labels_back(llm: FakeLLM, run: Run) -> None:
    def script(request: FakeRequest, index: int) -> FakeResponse:
        said = FakeResponse(body=completion(content_for_label(request.subject["label"])), wait_s=0.3)
        return error_response(429, headers={"Retry-After": "2"}) if index == 3 else said

    llm.script = script
    run(LABELS[:8], concurrency=2)
    refused_at = llm.requests[3].received_at
    assert (
        sum(0 < request.received_at - refused_at < 1.95 for request in llm.requests) <= 1
    )  # the one in flight beside it
    assert llm.num_calls == 9


def test_stopping_begins_no_call_and_keeps_those_in_flight(llm: FakeLLM, run: Run) -> None:
    llm.script = lambda request, index: FakeResponse(
        body=completion(content_for_label(request.subject["label"])), wait_s=0.3 if index else 0
    )
    results: list[QuestionResult] = []
    totals, _ = run(results=results, concurrency=4, should_stop=lambda: llm.num_calls >= 5)
    assert totals.stopped
    assert totals.done == llm.num_calls == len(results)
    assert 5 <= llm.num_calls < 30


def test_stopping_does_not_wait_for_a_server_that_hangs(
    llm: FakeLLM, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(concurrency, "STOP_GRACE_S", 0.2)
    llm.script = lambda request, index: (
        FakeResponse(body=completion("late"), wait_s=30) if index else respond_correctly(request, index)
    )
    started = time.monotonic()
    totals, results = run(concurrency=4, should_stop=lambda: llm.num_calls >= 5)
    assert time.monotonic() - started < 15
    assert (totals.done, totals.failed.total(), totals.stopped) == (1, 0, "asked")
    assert [result.reason for result in results] == [None] + ["stopped"] * 4
    assert totals.calls == llm.num_calls == 5  # those that were cut off are in the ledger too


def test_stopping_cuts_waits_short(llm: FakeLLM, run: Run) -> None:
    llm.script = lambda request, index: error_response(429, headers={"Retry-After": "30"})
    started = time.monotonic()
    totals, results = run(should_stop=lambda: llm.num_calls >= 1)
    assert time.monotonic() - started < 15
    assert [result.reason for result in results] == ["stopped"]
    assert llm.num_calls == 1


def test_a_stop_from_the_start_asks_nothing(llm: FakeLLM, run: Run) -> None:
    totals, results = run(should_stop=lambda: True)
    assert (llm.num_calls, results, totals.stopped) == (0, [], "asked")


def test_what_keeps_outcomes_may_be_async_and_its_error_ends_the_run(llm: FakeLLM, run: Run) -> None:
    kept: list[str] = []

    async def keep(result: QuestionResult) -> None:
        await asyncio.sleep(0)
        kept.append(result.question.label.name)
        if len(kept) == 3:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run(on_result=keep, concurrency=1)
    assert len(kept) == 3


def test_labels_are_drawn_as_they_are_needed(llm: FakeLLM, run: Run) -> None:
    drawn = 0

    def endless() -> Iterator[Label]:
        nonlocal drawn
        while True:
            drawn += 1
            yield Label(f"bird {drawn}")

    totals, results = run(endless(), concurrency=3, should_stop=lambda: llm.num_calls >= 20)
    assert totals.done == len(results)
    assert drawn <= totals.done + 3


def test_an_empty_list_is_done_at_once(llm: FakeLLM, run: Run) -> None:
    totals, _ = run([])
    assert (totals.done, totals.calls, llm.num_calls) == (0, 0, 0)


async def drip(num: int, *, wait_s: float = 0.002) -> AsyncIterator[Question]:
    for i in range(num):
        await asyncio.sleep(wait_s)
        yield describe_question(f"bird {i}")


def test_questions_may_come_as_they_are_found(llm: FakeLLM, run: Run) -> None:
    totals, results = run(drip(20), concurrency=5)
    assert totals.done == llm.num_calls == 20
    assert len({result.key for result in results}) == 20


def test_stopping_does_not_wait_for_questions_to_be_found(llm: FakeLLM, run: Run) -> None:
    started = time.monotonic()
    totals, _ = run(drip(3, wait_s=30), should_stop=lambda: time.monotonic() - started > 0.2)
    assert time.monotonic() - started < 10
    assert (totals.done, totals.stopped) == (0, "asked")
