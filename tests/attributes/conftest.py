"""The scripted server, and the hand that asks it."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from attributes.llm import retry_policy
from attributes.llm.client import LLMClient
from attributes.llm.limits import BudgetGuard, Limiter
from attributes.llm.response_format import FormatFallback
from attributes.llm.results import QuestionResult
from attributes.llm.settings import LLMSettings
from attributes.prompts.questions import Question
from attributes.prompts.strategy import load_strategy
from attributes.types import Label
from tests.attributes.fake_llm import FakeLLM
from tests.conftest import SHARED_DATA

KEY = "sk-very-secret-0123456789"

AskOne = Callable[..., QuestionResult]


@pytest.fixture
def llm() -> Iterator[FakeLLM]:
    with FakeLLM() as server:
        yield server


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between attempts of at most some milliseconds; those that a server asks for are kept."""
    monkeypatch.setattr(retry_policy, "FIRST_WAIT_S", 0.002)


@pytest.fixture
def enricher(llm: FakeLLM) -> Callable[..., LLMClient]:
    """Makes an Enricher of the scripted server, with a ladder of its own."""

    def make(
        *,
        ladder: FormatFallback | None = None,
        limiter: Limiter | None = None,
        meter: BudgetGuard | None = None,
        **changes: Any,
    ) -> LLMClient:
        asked: dict[str, Any] = {"base_url": llm.url, "model": "m", "api_key": SecretStr(KEY), "timeout_s": 30}
        settings = LLMSettings(**(asked | changes))
        return LLMClient(settings, ladder=ladder or FormatFallback(), limiter=limiter, meter=meter)

    return make


def about(label: str | Label) -> Question:
    """The question that `describe` has about a bird."""
    return Question(load_strategy(), label if isinstance(label, Label) else Label(label), "birds")


@pytest.fixture
def ask(enricher: Callable[..., LLMClient]) -> AskOne:
    """Asks one question, by default what `describe` asks about a label; its outcome."""

    def one(what: str | Label | Question = "robin", **changes: Any) -> QuestionResult:
        async def go() -> QuestionResult:
            async with enricher(**changes) as client:
                return await client.ask(what if isinstance(what, Question) else about(what))

        return asyncio.run(go())

    return one


@pytest.fixture(scope="session")
def flowers() -> Path:
    """The published flower labels and sentences, where they are at hand."""
    folder = SHARED_DATA / "li2023" / "Flower102"
    if not folder.is_dir():
        pytest.skip(f"the published flower files are not in {folder}")
    return folder


@pytest.fixture(scope="session")
def dclip_cub() -> Path:
    """The published DCLIP descriptors of CUB, where they are at hand."""
    file = SHARED_DATA / "dclip" / "descriptors_cub.json"
    if not file.is_file():
        pytest.skip(f"the published DCLIP file is not at {file}")
    return file
