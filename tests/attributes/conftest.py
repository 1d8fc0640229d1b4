"""The scripted server, and the hand that asks it."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from attributes import client
from attributes.calls import LLMSettings, Outcome
from attributes.client import Enricher
from attributes.ladder import Ladder
from attributes.strategy import load_strategy
from attributes.types import Label
from tests.attributes.fake_llm import FakeLLM
from tests.conftest import SHARED_DATA

KEY = "sk-very-secret-0123456789"

Ask = Callable[..., Outcome]


@pytest.fixture
def llm() -> Iterator[FakeLLM]:
    with FakeLLM() as server:
        yield server


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between attempts of at most some milliseconds; those that a server asks for are kept."""
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.002)


@pytest.fixture
def enricher(llm: FakeLLM) -> Callable[..., Enricher]:
    """Makes an Enricher of the scripted server, with a ladder of its own."""

    def make(*, domain: str = "birds", ladder: Ladder | None = None, **changes: Any) -> Enricher:
        asked: dict[str, Any] = {"base_url": llm.url, "model": "m", "api_key": SecretStr(KEY), "timeout_s": 5}
        settings = LLMSettings(**(asked | changes))
        return Enricher(settings, load_strategy(), domain, ladder=ladder or Ladder())

    return make


@pytest.fixture
def ask(enricher: Callable[..., Enricher]) -> Ask:
    """Asks about one label and gives its outcome."""

    def one(label: str | Label = "robin", **changes: Any) -> Outcome:
        async def go() -> Outcome:
            async with enricher(**changes) as asking:
                return await asking.describe(label if isinstance(label, Label) else Label(label))

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
