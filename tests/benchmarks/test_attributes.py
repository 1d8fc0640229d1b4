"""The benchmark's parts that can go wrong without being noticed: what answers, what counts, and what is called flat."""

import asyncio
import sys
from typing import Any, cast

import pytest

from attributes.llm.client import LLMClient
from attributes.llm.response_format import FormatFallback
from attributes.llm.results import QuestionResult
from attributes.llm.settings import LLMSettings
from attributes.llm.transport import retry_after
from attributes.prompts.questions import Question
from attributes.prompts.strategy import load_strategy
from attributes.types import Label
from benchmarks.attributes import MemorySampler, profile, standin
from benchmarks.sampling import subject_of
from benchmarks.standin import busiest

NAMES = ["grey heron", 'the "crane"', "back\\slash", "Grünfink", "鶴", *(f"bird {number}" for number in range(11))]


def test_the_standin_answers_as_the_strategy_wants_and_tells_what_it_saw() -> None:
    outcomes: list[QuestionResult] = []

    async def ask(url: str) -> None:
        settings = LLMSettings(base_url=f"{url}/v1", model="standin", concurrency=4)
        asks = [Question(load_strategy("describe@1"), Label(name), "birds") for name in NAMES]
        async with LLMClient(settings, fallback=FormatFallback()) as enricher:
            await enricher.query_all(asks, on_result=outcomes.append)

    with standin(latency_s=0.02, in_flight=4) as llm:
        asyncio.run(ask(llm.url))
        stats, times = llm.stats(), llm.times()
    assert sorted(outcome.question.label.name for outcome in outcomes if outcome.reason is None) == sorted(NAMES)
    assert not any(outcome.flags for outcome in outcomes)
    assert stats["calls"] == len(times) == len(NAMES)
    assert (stats["max_in_flight"], stats["refused"]) == (4, 0)
    assert times == sorted(times)


def test_the_busiest_minute_is_found_wherever_it_begins() -> None:
    assert busiest([], 60) == 0
    assert busiest([0, 30, 59, 61, 62, 200], 60) == 4
    assert busiest([0, 100, 200], 60) == 1


@pytest.mark.parametrize(("seen", "growth"), [([90, 100, 100, 100], 0.0), ([90, 100, 100, 150], 0.5)])
def test_flat_is_a_second_half_like_the_first(seen: list[float], growth: float) -> None:
    memory = MemorySampler(cast(Any, None))
    memory.seen["api"] = [(float(at), mib) for at, mib in zip((5, 20, 60, 90), seen, strict=True)]
    assert memory.growth("api", 0.0, 100.0) == pytest.approx(growth)


def test_shares_of_the_time_add_up() -> None:
    assert profile({"seconds": {"commit": 1.0, "LLM client": 3.0}}) == "LLM client 75%, commit 25%"


def test_time_goes_to_the_innermost_frame_that_belongs_to_a_subject() -> None:
    told: list[str] = []

    class Looks(dict[str, Any]):
        def get(self, *_: Any) -> Any:
            told.append(subject_of(sys._getframe()))

    retry_after(Looks())
    assert told[0] == "LLM client"
    assert subject_of(sys._getframe()) != "LLM client"
