"""The LLM client: refused questions, `Retry-After`, rate limits and budget."""

import asyncio
import json
import time
from collections.abc import Callable
from itertools import pairwise

import pytest

from attributes.llm.client import LLMClient, QueryTotals
from attributes.llm.limits import BudgetSpent, LocalLimiter, max_prompt_tokens
from attributes.llm.model_profile import ModelProfile
from attributes.llm.requests import build_request
from attributes.llm.response_format import build_body
from attributes.llm.results import Call, FatalLLMError, QuestionResult
from attributes.llm.settings import LLMSettings
from attributes.prompts.questions import Question
from attributes.types import Label
from tests.attributes.conftest import RunQuestion, describe_question
from tests.attributes.fake_llm import (
    FakeLLM,
    FakeRequest,
    FakeResponse,
    completion,
    content_for_label,
    error_response,
    respond_correctly,
    respond_in_turn,
)
from tests.attributes.llm.conftest import LABELS, QueryLabels, max_within


@pytest.mark.slow
def test_a_server_that_refuses_every_format_of_every_question_stops_the_run(
    llm: FakeLLM, query_labels: QueryLabels
) -> None:
    llm.script = lambda request, index: error_response(400, "this server is pinned to another model")
    results: list[QuestionResult] = []
    with pytest.raises(FatalLLMError, match="refuses every request: model 'm'.*pinned to another") as caught:
        query_labels(results=results, concurrency=2)
    assert caught.value.code == "llm_bad_request"
    assert llm.num_calls == sum(len(result.calls) for result in results) <= 16
    assert [result.reason for result in results].count("bad_request") == 2


@pytest.mark.slow
def test_single_refused_questions_do_not_stop_the_run(llm: FakeLLM, query_labels: QueryLabels) -> None:
    llm.script = lambda request, index: (
        error_response(400) if int(request.subject["label"][5:]) % 5 < 4 else respond_correctly(request, index)
    )
    totals, _ = query_labels(LABELS[4:], concurrency=1)
    assert totals.done == 6
    assert totals.failed == {"bad_request": 20}


@pytest.mark.slow
def test_retry_after_applies_to_all_questions(llm: FakeLLM, query_labels: QueryLabels) -> None:
    def script(request: FakeRequest, index: int) -> FakeResponse:
        response = FakeResponse(body=completion(content_for_label(request.subject["label"])), wait_s=0.3)
        return error_response(429, headers={"Retry-After": "2"}) if index == 3 else response

    llm.script = script
    query_labels(LABELS[:8], concurrency=2)
    refused_at = llm.requests[3].received_at
    num_during_wait = sum(0 < request.received_at - refused_at < 1.95 for request in llm.requests)
    assert num_during_wait <= 1  # the other call that was in flight
    assert llm.num_calls == 9


@pytest.mark.slow
def test_the_client_obeys_the_limiter(llm: FakeLLM, make_client: Callable[..., LLMClient]) -> None:
    limiter = LocalLimiter(requests_per_min=5, window_s=0.5, margin_s=0.7)

    async def main() -> QueryTotals:
        async with make_client(limiter=limiter) as client:
            return await client.query_all([describe_question(f"bird {i}") for i in range(11)])

    assert asyncio.run(main()).done == 11
    assert max_within([request.received_at for request in llm.requests], 0.5) <= 5


@pytest.mark.slow
def test_retries_count_towards_the_limit(llm: FakeLLM, run_question: RunQuestion) -> None:
    llm.script = lambda request, index: error_response(500) if index < 2 else respond_correctly(request, index)
    run_question(limiter=LocalLimiter(requests_per_min=1, window_s=0.2, margin_s=0.4))
    assert all(later.received_at - earlier.received_at >= 0.2 for earlier, later in pairwise(llm.requests))


@pytest.mark.slow
def test_a_stop_interrupts_the_wait_for_a_slot(llm: FakeLLM, make_client: Callable[..., LLMClient]) -> None:
    results: list[QuestionResult] = []

    async def main() -> QueryTotals:
        async with make_client(limiter=LocalLimiter(requests_per_min=2)) as client:
            questions = [describe_question(f"bird {i}") for i in range(9)]
            return await client.query_all(questions, on_result=results.append, should_stop=lambda: llm.num_calls >= 2)

    started = time.monotonic()
    totals = asyncio.run(main())
    assert time.monotonic() - started < 10
    assert (totals.done, totals.stopped, len(results)) == (2, "asked", 2)


class TokenBudget:
    """A budget of tokens that records its reservations and releases."""

    def __init__(self, tokens: int) -> None:
        self.left = tokens
        self.reserved: list[tuple[Label, int, int]] = []
        self.released: list[tuple[object, Call | None]] = []

    async def reserve(self, question: Question, max_prompt_tokens: int, max_completion_tokens: int) -> object:
        await asyncio.sleep(0)
        max_tokens = max_prompt_tokens + max_completion_tokens
        if max_tokens > self.left:
            raise BudgetSpent
        self.left -= max_tokens
        self.reserved.append((question.label, max_prompt_tokens, max_completion_tokens))
        return max_tokens

    async def release(self, reservation: object, call: Call | None) -> None:
        assert isinstance(reservation, int)
        self.released.append((reservation, call))
        self.left += reservation - ((call.prompt_tokens or 0) + (call.completion_tokens or 0) if call else 0)


def test_every_attempt_reserves_and_releases_budget(llm: FakeLLM, run_question: RunQuestion) -> None:
    llm.script = respond_in_turn(
        error_response(500),
        FakeResponse(body=completion(json.dumps(content_for_label("robin"))[:-40], finish="length")),
        FakeResponse(body=completion(content_for_label("robin"))),
    )
    budget = TokenBudget(10**6)
    result = run_question(budget=budget)
    assert len(budget.released) == 3
    assert budget.released[2][1] == result.calls[2]
    assert [limit for _, _, limit in budget.reserved] == [700, 700, 2100]
    assert budget.left == 10**6 - 2 * 140
    assert all(prompt_tokens >= 100 for _, prompt_tokens, _ in budget.reserved)


def test_a_spent_budget_stops_the_run_and_keeps_calls_in_flight(
    llm: FakeLLM, make_client: Callable[..., LLMClient]
) -> None:
    llm.script = lambda request, index: FakeResponse(
        body=completion(content_for_label(request.subject["label"])), wait_s=0.2 if index else 0
    )
    max_tokens = (
        max_prompt_tokens(
            build_body(
                build_request(describe_question("bird 0")),
                ModelProfile(),
                LLMSettings(model="m"),
                temperature=0,
                max_tokens=700,
            )
        )
        + 700
    )
    budget = TokenBudget(4 * max_tokens + 700)
    results: list[QuestionResult] = []

    async def main() -> QueryTotals:
        async with make_client(budget=budget) as client:
            questions = [describe_question(f"bird {i}") for i in range(30)]
            return await client.query_all(questions, on_result=results.append, concurrency=6)

    totals = asyncio.run(main())
    assert totals.stopped == "budget_spent"
    assert totals.done == llm.num_calls == len(results)  # the calls in flight ended and were kept
    assert 4 <= totals.done < 30
    assert budget.left == 4 * max_tokens + 700 - 140 * llm.num_calls


def test_a_question_without_budget_for_its_retry_is_stopped(llm: FakeLLM, run_question: RunQuestion) -> None:
    llm.script = respond_in_turn(FakeResponse(body=completion("no")))
    max_tokens = (
        max_prompt_tokens(
            build_body(
                build_request(describe_question("robin")),
                ModelProfile(),
                LLMSettings(model="m"),
                temperature=0,
                max_tokens=700,
            )
        )
        + 700
    )
    budget = TokenBudget(max_tokens + 100)
    result = run_question("robin", budget=budget)
    assert (result.reason, result.detail) == ("stopped", "budget_spent")
    assert [call.status for call in result.calls] == ["invalid_answer"]
    assert budget.left == max_tokens + 100 - 140
    result = run_question("robin", budget=budget)
    assert (result.reason, result.detail, result.calls) == ("stopped", "budget_spent", [])


def test_a_call_cancelled_in_flight_releases_its_reservation(
    llm: FakeLLM, make_client: Callable[..., LLMClient]
) -> None:
    llm.script = respond_in_turn(FakeResponse(body=completion("late"), wait_s=30))
    budget = TokenBudget(10**6)

    async def main() -> None:
        async with make_client(budget=budget) as client:
            task = asyncio.create_task(client.query(describe_question("robin")))
            while not llm.num_calls:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    ((_, call),) = budget.released
    assert call is not None
    assert call.status == "stopped"


def test_an_unreachable_server_is_fatal(run_question: RunQuestion) -> None:
    with FakeLLM() as gone:
        url = gone.url
    with pytest.raises(FatalLLMError) as caught:
        run_question(base_url=url, max_attempts=3)
    assert caught.value.code == "llm_unreachable"
    assert len(caught.value.calls) == 3
