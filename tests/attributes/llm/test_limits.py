"""Rate limits over a sliding window, and the budget."""

import asyncio
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attributes.llm.limits import MARGIN_S, MAX_IMAGE_TOKENS, SPREAD, LocalLimiter, estimated_tokens, max_prompt_tokens
from attributes.llm.model_profile import FORMAT_LEVELS, ModelProfile
from attributes.llm.requests import build_request
from attributes.llm.response_format import build_body
from attributes.llm.settings import LLMSettings
from attributes.prompts.questions import ImageFile, Question
from attributes.types import Label
from tests.attributes.conftest import describe_question
from tests.attributes.custom_strategies import PNG, custom_strategy
from tests.attributes.llm.conftest import max_within


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


@pytest.mark.slow
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


@settings(deadline=None)
@given(st.text(max_size=60), st.sampled_from(FORMAT_LEVELS))
def test_max_prompt_tokens_exceeds_the_bytes_of_the_texts(label: str, level: Any) -> None:
    body = build_body(
        build_request(describe_question(label)),
        ModelProfile(level=level),
        LLMSettings(model="m"),
        temperature=0,
        max_tokens=99,
    )
    texts = [message["content"] for message in body["messages"]]
    assert max_prompt_tokens(body) > sum(len(text.encode()) for text in texts) + 3 * len(texts)
    assert estimated_tokens(body, 99) < max_prompt_tokens(body)


def test_an_image_counts_as_max_image_tokens(tmp_path: Any) -> None:
    strategy = custom_strategy(tmp_path, about="image")
    request = build_request(Question(strategy, Label("x"), image=ImageFile(PNG)))
    body = build_body(request, ModelProfile(), LLMSettings(model="m"), temperature=0, max_tokens=9)
    assert MAX_IMAGE_TOKENS < max_prompt_tokens(body) < MAX_IMAGE_TOKENS + 2_000
