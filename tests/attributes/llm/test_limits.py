"""Calls are held to what the server allows in any window, in turn, and to what may be spent."""

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attributes.llm.client import LLMClient, QueryTotals
from attributes.llm.limits import (
    MARGIN_S,
    MAX_IMAGE_TOKENS,
    SPREAD,
    BudgetSpent,
    LocalLimiter,
    estimated_tokens,
    max_prompt_tokens,
)
from attributes.llm.requests import build_request
from attributes.llm.response_format import FORMAT_LEVELS, ResponseFormat
from attributes.llm.results import Call, QuestionResult
from attributes.prompts.questions import ImageFile, Question
from attributes.types import Label
from tests.attributes.conftest import RunQuestion, describe_question
from tests.attributes.custom_strategies import PNG, custom_strategy
from tests.attributes.fake_llm import (
    FakeLLM,
    FakeResponse,
    completion,
    content_for_label,
    error_response,
    respond_correctly,
    respond_in_turn,
)


class QuickLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next thing that is waited for, so that minutes cost nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        really = self._selector.select
        self._selector.select = lambda timeout=None: self._jump(timeout) or really(0)

    def time(self) -> float:
        return self._now

    def _jump(self, timeout: float | None) -> None:
        self._now += max(0.0, timeout or 0.0)


T = TypeVar("T")


def quickly(coroutine: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=QuickLoop) as runner:
        return runner.run(coroutine)


async def through(
    limiter: LocalLimiter, num_calls: int, *, tokens: int = 1, used: int | None = None, takes_s: float = 0.0
) -> list[float]:
    """When each of the calls got its turn."""
    times: list[float] = []
    now = asyncio.get_running_loop().time

    async def one() -> None:
        async with limiter.slot(tokens) as slot:
            times.append(now())
            await asyncio.sleep(takes_s)
            if used is not None:
                slot.record_tokens(used)

    await asyncio.gather(*(one() for _ in range(num_calls)))
    return times


def most_within(times: Sequence[float], window_s: float) -> int:
    return max(sum(start <= at < start + window_s for at in times) for start in times)


def test_no_minute_holds_more_requests_than_allowed_and_nearly_all_are_used() -> None:
    times = quickly(through(LocalLimiter(requests_per_min=600), 600 * 10 + 1))
    assert most_within(times, 60 + 0.4) == 600
    assert 600 * 10 / 600 * 60 / (times[-1] - times[0]) >= 0.97


def test_what_a_window_has_room_for_goes_out_one_by_one() -> None:
    times = quickly(through(LocalLimiter(requests_per_min=600), 600))
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert min(gaps) == pytest.approx((60 + MARGIN_S) / 600 / SPREAD)


def test_slow_answers_and_few_at_a_time_leave_the_limit_as_it_is() -> None:
    times = quickly(through(LocalLimiter(requests_per_min=60, in_flight=8), 240, takes_s=3.0))
    assert most_within(times, 60.4) == 60
    assert max(sum(start <= at < start + 3.0 for at in times) for start in times) == 8


def test_tokens_are_counted_as_estimated_until_they_are_known() -> None:
    assert most_within(quickly(through(LocalLimiter(tokens_per_min=100), 12, tokens=25)), 60) == 4
    known = quickly(through(LocalLimiter(tokens_per_min=100), 61, tokens=25, used=5, takes_s=1.0))
    # The last ones go while what is in flight is still counted as estimated.
    assert 16 <= most_within(known, 60) <= 20


def test_a_call_larger_than_the_limit_waits_for_an_empty_window_and_goes() -> None:
    first, second = quickly(through(LocalLimiter(tokens_per_min=10), 2, tokens=1_000_000))
    assert second - first == pytest.approx(60 + MARGIN_S)


def test_calls_in_flight_are_held_to_their_number() -> None:
    times = quickly(through(LocalLimiter(in_flight=3), 9, takes_s=1.0))
    assert times == [0.0] * 3 + [1.0] * 3 + [2.0] * 3


def test_who_gives_up_waiting_takes_nobodys_place() -> None:
    async def go() -> float:
        limiter = LocalLimiter(requests_per_min=1, in_flight=2)
        await through(limiter, 1)
        waiting = asyncio.create_task(through(limiter, 1))
        await asyncio.sleep(10)
        waiting.cancel()
        (at,) = await through(limiter, 1)
        return at

    assert quickly(go()) == pytest.approx(60 + MARGIN_S)


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="would let no call through"):
        LocalLimiter(requests_per_min=0)


def test_the_client_waits_for_its_turn(llm: FakeLLM, make_client: Callable[..., LLMClient]) -> None:
    limiter = LocalLimiter(requests_per_min=5, window_s=0.5, margin_s=0.7)

    async def go() -> QueryTotals:
        async with make_client(limiter=limiter) as client:
            return await client.query_all([describe_question(f"bird {i}") for i in range(11)])

    assert asyncio.run(go()).done == 11
    assert most_within([request.received_at for request in llm.requests], 0.5) <= 5


def test_retries_count_against_the_limit(llm: FakeLLM, run_question: RunQuestion) -> None:
    llm.script = lambda request, index: error_response(500) if index < 3 else respond_correctly(request, index)
    run_question(limiter=LocalLimiter(requests_per_min=1, window_s=0.2, margin_s=0.4))
    assert all(later.received_at - former.received_at >= 0.2 for former, later in pairwise(llm.requests))


def test_a_stop_cuts_the_wait_for_a_turn_short(llm: FakeLLM, make_client: Callable[..., LLMClient]) -> None:
    results: list[QuestionResult] = []

    async def go() -> QueryTotals:
        async with make_client(limiter=LocalLimiter(requests_per_min=2)) as client:
            questions = [describe_question(f"bird {i}") for i in range(9)]
            return await client.query_all(questions, on_result=results.append, should_stop=lambda: llm.num_calls >= 2)

    began = time.monotonic()
    totals = asyncio.run(go())
    assert time.monotonic() - began < 10
    assert (totals.done, totals.stopped, len(results)) == (2, "asked", 2)


class TokenBudget:
    """A budget of tokens that keeps what it was told."""

    def __init__(self, tokens: int) -> None:
        self.left = tokens
        self.reserved: list[tuple[Label, int, int]] = []
        self.released: list[tuple[object, Call | None]] = []

    async def reserve(self, question: Question, max_prompt_tokens: int, max_completion_tokens: int) -> object:
        await asyncio.sleep(0)
        worst = max_prompt_tokens + max_completion_tokens
        if worst > self.left:
            raise BudgetSpent
        self.left -= worst
        self.reserved.append((question.label, max_prompt_tokens, max_completion_tokens))
        return worst

    async def release(self, reservation: object, call: Call | None) -> None:
        assert isinstance(reservation, int)
        self.released.append((reservation, call))
        self.left += reservation - ((call.prompt_tokens or 0) + (call.completion_tokens or 0) if call else 0)


def test_every_attempt_is_reserved_and_settled(llm: FakeLLM, run_question: RunQuestion) -> None:
    llm.script = respond_in_turn(
        error_response(500),
        FakeResponse(body=completion("{", finish="length")),
        FakeResponse(body=completion(content_for_label("robin"))),
    )
    budget = TokenBudget(10**6)
    result = run_question(budget=budget)
    assert [call for _, call in budget.released] == [
        replaced for replaced in (budget.released[0][1], budget.released[1][1], result.calls[2])
    ]
    assert [limit for _, _, limit in budget.reserved] == [700, 700, 2100]
    assert budget.left == 10**6 - 2 * 140
    assert all(at_most >= 100 for _, at_most, _ in budget.reserved)


def test_a_spent_budget_stops_in_order(llm: FakeLLM, make_client: Callable[..., LLMClient]) -> None:
    llm.script = lambda request, index: FakeResponse(
        body=completion(content_for_label(request.subject["label"])), wait_s=0.2 if index else 0
    )
    worst = (
        max_prompt_tokens(
            ResponseFormat().body(build_request(describe_question("bird 0")), model="m", temperature=0, max_tokens=700)
        )
        + 700
    )
    budget = TokenBudget(4 * worst + 700)
    results: list[QuestionResult] = []

    async def go() -> QueryTotals:
        async with make_client(budget=budget) as client:
            questions = [describe_question(f"bird {i}") for i in range(30)]
            return await client.query_all(questions, on_result=results.append, concurrency=6)

    totals = asyncio.run(go())
    assert totals.stopped == "budget_spent"
    assert totals.done == llm.num_calls == len(results)  # those in flight ended and were kept
    assert 4 <= totals.done < 30
    assert budget.left == 4 * worst + 700 - 140 * llm.num_calls


def test_a_question_caught_by_the_end_of_the_budget_is_still_to_be_asked(
    llm: FakeLLM, run_question: RunQuestion
) -> None:
    llm.script = respond_in_turn(FakeResponse(body=completion("no")))
    worst = (
        max_prompt_tokens(
            ResponseFormat().body(build_request(describe_question("robin")), model="m", temperature=0, max_tokens=700)
        )
        + 700
    )
    budget = TokenBudget(worst + 100)
    result = run_question("robin", budget=budget)
    assert (result.reason, result.detail) == ("stopped", "budget_spent")
    assert [call.status for call in result.calls] == ["invalid_answer"]
    assert budget.left == worst + 100 - 140
    result = run_question("robin", budget=budget)
    assert (result.reason, result.detail, result.calls) == ("stopped", "budget_spent", [])


def test_a_call_cut_off_in_flight_is_settled(llm: FakeLLM, make_client: Callable[..., LLMClient]) -> None:
    llm.script = respond_in_turn(FakeResponse(body=completion("late"), wait_s=30))
    budget = TokenBudget(10**6)

    async def go() -> None:
        async with make_client(budget=budget) as client:
            task = asyncio.create_task(client.query(describe_question("robin")))
            while not llm.num_calls:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(go())
    ((_, call),) = budget.released
    assert call is not None
    assert call.status == "stopped"


@settings(deadline=None)
@given(st.text(max_size=60), st.sampled_from(FORMAT_LEVELS))
def test_the_bound_is_above_any_tokenizers_count(label: str, rung: Any) -> None:
    body = ResponseFormat(rung).body(build_request(describe_question(label)), model="m", temperature=0, max_tokens=99)
    texts = [message["content"] for message in body["messages"]]
    assert max_prompt_tokens(body) > sum(len(text.encode()) for text in texts) + 3 * len(texts)
    assert estimated_tokens(body, 99) < max_prompt_tokens(body)


def test_a_picture_counts_as_the_most_that_servers_count(tmp_path: Any) -> None:
    strategy = custom_strategy(tmp_path, about="image")
    body = ResponseFormat().body(
        build_request(Question(strategy, Label("x"), image=ImageFile(PNG))), model="m", temperature=0, max_tokens=9
    )
    assert MAX_IMAGE_TOKENS < max_prompt_tokens(body) < MAX_IMAGE_TOKENS + 2_000
