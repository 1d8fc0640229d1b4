"""Parts of the benchmark whose errors would go unnoticed: the stand-in server, its counts, and memory growth."""

import asyncio
import sys
from typing import Any, cast

import pytest

from attributes.llm.client import LLMClient
from attributes.llm.model_profile import LearnedProfiles
from attributes.llm.results import QuestionResult
from attributes.llm.settings import LLMSettings
from attributes.llm.transport import Transport
from attributes.prompts.questions import Question
from attributes.prompts.strategy import load_strategy
from attributes.types import Label
from benchmarks.attributes import MemorySampler, cpu_shares, standin
from benchmarks.sampling import subject_of
from benchmarks.standin import busiest

NAMES = ["grey heron", 'the "crane"', "back\\slash", "Grünfink", "鶴", *(f"bird {number}" for number in range(11))]


@pytest.mark.slow
def test_stand_in_responses_are_valid_and_counted() -> None:
    results: list[QuestionResult] = []

    async def send_questions(url: str) -> None:
        settings = LLMSettings(base_url=f"{url}/v1", model="standin", concurrency=4)
        questions = [Question(load_strategy("describe@1"), Label(name), "birds") for name in NAMES]
        async with LLMClient(settings, profiles=LearnedProfiles()) as client:
            await client.query_all(questions, on_result=results.append)

    with standin(latency_s=0.02, in_flight=4) as llm:
        asyncio.run(send_questions(llm.url))
        stats, times = llm.stats(), llm.times()
    assert sorted(result.question.label.name for result in results if result.reason is None) == sorted(NAMES)
    assert not any(result.flags for result in results)
    assert stats["calls"] == len(times) == len(NAMES)
    assert (stats["max_in_flight"], stats["refused"]) == (4, 0)
    assert times == sorted(times)


def test_busiest_minute_at_any_offset() -> None:
    assert busiest([], 60) == 0
    assert busiest([0, 30, 59, 61, 62, 200], 60) == 4
    assert busiest([0, 100, 200], 60) == 1


@pytest.mark.parametrize(("samples", "growth"), [([90, 100, 100, 100], 0.0), ([90, 100, 100, 150], 0.5)])
def test_growth_compares_the_second_half_with_the_first(samples: list[float], growth: float) -> None:
    memory = MemorySampler(cast(Any, None))
    memory.samples["api"] = [(float(at), mib) for at, mib in zip((5, 20, 60, 90), samples, strict=True)]
    assert memory.growth("api", 0.0, 100.0) == pytest.approx(growth)


def test_cpu_shares_are_relative_to_the_total() -> None:
    assert cpu_shares({"seconds": {"commit": 1.0, "LLM client": 3.0}}) == "LLM client 75%, commit 25%"


def test_innermost_frame_with_a_subject_counts() -> None:
    subjects: list[str] = []

    class RecordingHeaders(dict[str, Any]):
        def get(self, *_: Any) -> Any:
            subjects.append(subject_of(sys._getframe()))

    Transport(LLMSettings(model="m")).parse(429, None, RecordingHeaders())
    assert subjects[0] == "LLM client"
    assert subject_of(sys._getframe()) != "LLM client"
