"""Fixtures: one attempt over a socket, on connections that the tests of a module share."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from attributes.llm.settings import LLMSettings
from attributes.llm.transport import RawResponse, Transport
from tests.attributes.conftest import KEY
from tests.attributes.fake_llm import FakeLLM, FakeResponse, respond_in_turn

MESSAGES = [
    {"role": "system", "content": "You describe birds."},
    {"role": "user", "content": "What does a robin look like?"},
]
BODY: Any = {
    "model": "m",
    "messages": MESSAGES,
    "max_tokens": 700,
    "temperature": 0.0,
    "response_format": {"type": "json_object"},
}


class Sender:
    """Sends `BODY` to a server that gives one response; `succeeded`: a request with this key has succeeded before."""

    def __init__(self, llm: FakeLLM, runner: asyncio.Runner, transport: Transport) -> None:
        self.llm, self.transport = llm, transport
        self._runner = runner

    def __call__(
        self, body: Any, status: int = 200, headers: dict[str, str] | None = None, *, succeeded: bool = False
    ) -> RawResponse:
        self.llm.script = respond_in_turn(FakeResponse(status, body, headers or {}))
        self.transport.has_responded = self.transport.has_succeeded = succeeded
        return self._runner.run(self.transport.send(BODY))


@pytest.fixture(scope="module")
def send() -> Iterator[Sender]:
    with FakeLLM() as llm, asyncio.Runner() as runner:
        transport = Transport(LLMSettings(base_url=llm.url, model="m", api_key=SecretStr(KEY), timeout_s=20))
        yield Sender(llm, runner, transport)
        runner.run(transport.close())


def send_once(**settings: Any) -> RawResponse:
    """One attempt with new connections."""

    async def attempt() -> RawResponse:
        transport = Transport(LLMSettings(**{"model": "m", "api_key": SecretStr(KEY), "timeout_s": 10} | settings))
        try:
            return await transport.send(BODY)
        finally:
            await transport.close()

    return asyncio.run(attempt())
