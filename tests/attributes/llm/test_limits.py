"""Rate limits over a sliding window, and the budget."""

import asyncio
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
    """An event loop whose clock jumps to the next timer, so that minutes pass at once."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        select = self._selector.select
        self._selector.select = lambda timeout=None: self._jump(timeout) or select(0)

    def time(self) -> float:
        return self._now

    def _jump(self, timeout: float | None) -> None:
        self._now += max(0.0, timeout or 0.0)


T = TypeVar("T")


def run_at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=QuickLoop) as runner:
        return runner.run(coroutine)


async def slot_times(
    limiter: LocalLimiter, num_calls: int, *, tokens: int = 1, used: int | None = None, call_s: float = 0.0
) -> list[float]:
    """The times at which the calls got their slots."""
    times: list[float] = []
    now = asyncio.get_running_loop().time

    async def one() -> None:
        async with limiter.slot(tokens) as slot:
            times.append(now())
            await asyncio.sleep(call_s)
            if used is not None:
                slot.record_tokens(used)

    await asyncio.gather(*(one() for _ in range(num_calls)))
    return times


def max_within(times: Sequence[float], window_s: float) -> int:
    return max(sum(start <= at < start + window_s for at in times) for start in times)


def test_no_window_exceeds_the_request_limit_and_nearly_all_of_it_is_used() -> None:
    times = run_at_once(slot_times(LocalLimiter(requests_per_min=600), 600 * 10 + 1))
    assert max_within(times, 60 + 0.4) == 600
    assert 600 * 10 / 600 * 60 / (times[-1] - times[0]) >= 0.97


def test_calls_are_spread_over_the_window() -> None:
    times = run_at_once(slot_times(LocalLimiter(requests_per_min=600), 600))
    gaps = [after - before for before, after in pairwise(times)]
    assert min(gaps) == pytest.approx((60 + MARGIN_S) / 600 / SPREAD)


def test_slow_responses_and_few_calls_in_flight_do_not_change_the_rate_limit() -> None:
    times = run_at_once(slot_times(LocalLimiter(requests_per_min=60, in_flight=8), 240, call_s=3.0))
    assert max_within(times, 60.4) == 60
    assert max(sum(start <= at < start + 3.0 for at in times) for start in times) == 8


def test_tokens_count_as_estimated_until_they_are_reported() -> None:
    assert max_within(run_at_once(slot_times(LocalLimiter(tokens_per_min=100), 12, tokens=25)), 60) == 4
    known = run_at_once(slot_times(LocalLimiter(tokens_per_min=100), 61, tokens=25, used=5, call_s=1.0))
    # The last calls start while those in flight still count with their estimates.
    assert 16 <= max_within(known, 60) <= 20


def test_a_call_larger_than_the_limit_waits_for_an_empty_window() -> None:
    first, second = run_at_once(slot_times(LocalLimiter(tokens_per_min=10), 2, tokens=1_000_000))
    assert second - first == pytest.approx(60 + MARGIN_S)


def test_calls_in_flight_are_limited() -> None:
    times = run_at_once(slot_times(LocalLimiter(in_flight=3), 9, call_s=1.0))
    assert times == [0.0] * 3 + [1.0] * 3 + [2.0] * 3


def test_a_cancelled_wait_uses_no_slot() -> None:
    async def main() -> float:
        limiter = LocalLimiter(requests_per_min=1, in_flight=2)
        await slot_times(limiter, 1)
        waiting = asyncio.create_task(slot_times(limiter, 1))
        await asyncio.sleep(10)
        waiting.cancel()
        (at,) = await slot_times(limiter, 1)
        return at

    assert run_at_once(main()) == pytest.approx(60 + MARGIN_S)


def test_a_limit_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="would let no call through"):
        LocalLimiter(requests_per_min=0)


def test_the_client_obeys_the_limiter(llm: FakeLLM, make_client: Callable[..., LLMClient]) -> None:
    limiter = LocalLimiter(requests_per_min=5, window_s=0.5, margin_s=0.7)

    async def main() -> QueryTotals:
        async with make_client(limiter=limiter) as client:
            return await client.query_all([describe_question(f"bird {i}") for i in range(11)])

    assert asyncio.run(main()).done == 11
    assert max_within([request.received_at for request in llm.requests], 0.5) <= 5


def test_retries_count_towards_the_limit(llm: FakeLLM, run_question: RunQuestion) -> None:
    llm.script = lambda request, index: error_response(500) if index < 3 else respond_correctly(request, index)
    run_question(limiter=LocalLimiter(requests_per_min=1, window_s=0.2, margin_s=0.4))
    assert all(later.received_at - earlier.received_at >= 0.2 for earlier, later in pairwise(llm.requests))


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
        FakeResponse(body=completion("{", finish="length")),
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
            ResponseFormat().body(build_request(describe_question("bird 0")), model="m", temperature=0, max_tokens=700)
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
            ResponseFormat().body(build_request(describe_question("robin")), model="m", temperature=0, max_tokens=700)
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


@settings(deadline=None)
@given(st.text(max_size=60), st.sampled_from(FORMAT_LEVELS))
def test_max_prompt_tokens_exceeds_the_bytes_of_the_texts(label: str, level: Any) -> None:
    body = ResponseFormat(level).body(build_request(describe_question(label)), model="m", temperature=0, max_tokens=99)
    texts = [message["content"] for message in body["messages"]]
    assert max_prompt_tokens(body) > sum(len(text.encode()) for text in texts) + 3 * len(texts)
    assert estimated_tokens(body, 99) < max_prompt_tokens(body)


def test_an_image_counts_as_max_image_tokens(tmp_path: Any) -> None:
    strategy = custom_strategy(tmp_path, about="image")
    body = ResponseFormat().body(
        build_request(Question(strategy, Label("x"), image=ImageFile(PNG))), model="m", temperature=0, max_tokens=9
    )
    assert MAX_IMAGE_TOKENS < max_prompt_tokens(body) < MAX_IMAGE_TOKENS + 2_000
