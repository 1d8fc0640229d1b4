"""Fixtures: the scripted LLM server, clients for it, and published data sets."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from attributes.llm import health, retry_policy
from attributes.llm.client import LLMClient
from attributes.llm.limits import BudgetGuard, Limiter
from attributes.llm.model_profile import LearnedProfiles
from attributes.llm.results import QuestionResult
from attributes.llm.settings import LLMSettings
from attributes.prompts.questions import Question
from attributes.prompts.strategy import load_strategy
from attributes.types import Label
from tests.attributes.fake_llm import FakeLLM
from tests.conftest import SHARED_DATA

KEY = "sk-very-secret-0123456789"

RunQuestion = Callable[..., QuestionResult]


@pytest.fixture
def llm() -> Iterator[FakeLLM]:
    with FakeLLM() as server:
        yield server


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the random waits between attempts to milliseconds; `Retry-After` stays as it is."""
    monkeypatch.setattr(retry_policy, "FIRST_WAIT_S", 0.002)
    monkeypatch.setattr(health, "FIRST_PROBE_S", 0.002)
    monkeypatch.setattr(health, "MAX_PROBE_S", 0.02)


@pytest.fixture
def make_client(llm: FakeLLM) -> Callable[..., LLMClient]:
    """Makes an `LLMClient` for the scripted server, with a new `LearnedProfiles` by default."""

    def make(
        *,
        profiles: LearnedProfiles | None = None,
        limiter: Limiter | None = None,
        budget: BudgetGuard | None = None,
        **changes: Any,
    ) -> LLMClient:
        defaults: dict[str, Any] = {"base_url": llm.url, "model": "m", "api_key": SecretStr(KEY), "timeout_s": 30}
        defaults["outage_limit_s"] = 60
        settings = LLMSettings(**(defaults | changes))
        return LLMClient(settings, profiles=profiles or LearnedProfiles(), limiter=limiter, budget=budget)

    return make


def describe_question(label: str | Label) -> Question:
    """The question of `describe` about a bird."""
    return Question(load_strategy(), label if isinstance(label, Label) else Label(label), "birds")


@pytest.fixture
def run_question(make_client: Callable[..., LLMClient]) -> RunQuestion:
    """Sends one question, by default that of `describe` about a label, and returns its result."""

    def one(what: str | Label | Question = "robin", **changes: Any) -> QuestionResult:
        async def query() -> QuestionResult:
            async with make_client(**changes) as client:
                return await client.query(what if isinstance(what, Question) else describe_question(what))

        return asyncio.run(query())

    return one


@pytest.fixture(scope="session")
def flowers() -> Path:
    """The published flower labels and sentences; skips the test without the files."""
    folder = SHARED_DATA / "li2023" / "Flower102"
    if not folder.is_dir():
        pytest.skip(f"the published flower files are not in {folder}")
    return folder
