"""Fixtures: runs over many questions, live and in batches."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from pydantic import SecretStr

from attributes.llm.batches.batch_jobs import BatchJobs
from attributes.llm.client import LLMClient, QueryTotals
from attributes.llm.model_profile import LearnedProfiles
from attributes.llm.results import QuestionResult
from attributes.llm.settings import LLMSettings
from attributes.prompts.questions import Question
from attributes.types import Label
from tests.attributes.conftest import KEY, describe_question
from tests.attributes.fake_batch_api import FakeBatchAPI
from tests.attributes.fake_llm import FakeLLM

QUESTIONS = [describe_question(f"bird {i}") for i in range(10)]
LABELS = [Label(f"bird {i}") for i in range(30)]
RunBatches = Callable[..., tuple[QueryTotals, list[QuestionResult]]]
QueryLabels = Callable[..., tuple[QueryTotals, list[QuestionResult]]]


def max_within(times: Sequence[float], window_s: float) -> int:
    """The most times in any window of `window_s`."""
    return max(sum(start <= at < start + window_s for at in times) for start in times)


@pytest.fixture
def batch_api(llm: FakeLLM) -> FakeBatchAPI:
    return FakeBatchAPI(llm)


@pytest.fixture
def batch_settings(llm: FakeLLM) -> LLMSettings:
    return LLMSettings(base_url=llm.url, model="m", api_key=SecretStr(KEY), timeout_s=30, max_attempts=3)


@pytest.fixture
def run_batches(batch_settings: LLMSettings) -> RunBatches:
    """Sends all questions in batches; returns the totals and the results."""

    def run_all(
        questions: list[Question] = QUESTIONS, *, profiles: LearnedProfiles | None = None, **options: Any
    ) -> tuple[QueryTotals, list[QuestionResult]]:
        kept: list[QuestionResult] = []

        async def main() -> QueryTotals:
            async with BatchJobs(batch_settings, profiles=profiles or LearnedProfiles()) as batches:
                return await batches.query_all(questions, on_result=kept.append, poll_s=0.001, **options)

        return asyncio.run(main()), kept

    return run_all


@pytest.fixture
def query_labels(make_client: Callable[..., LLMClient]) -> QueryLabels:
    """Describes all labels; returns the totals and the results."""

    def query_all(
        labels: Any = LABELS, *, results: list[QuestionResult] | None = None, timeout_s: float = 30, **options: Any
    ) -> tuple[QueryTotals, list[QuestionResult]]:
        saved = [] if results is None else results

        async def main() -> QueryTotals:
            async with make_client(timeout_s=timeout_s) as client:
                return await client.query_all(
                    labels if isinstance(labels, AsyncIterator) else map(describe_question, labels),
                    **({"on_result": saved.append} | options),
                )

        return asyncio.run(main()), saved

    return query_all
