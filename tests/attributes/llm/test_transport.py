"""HTTP attempts: timeouts, parsed responses, and the API key."""

import asyncio
import json
import logging
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from attributes.llm.client import LLMClient
from attributes.llm.response_format import ChatBody
from attributes.llm.results import FatalLLMError
from attributes.llm.settings import LLMSettings
from attributes.llm.transport import Transport
from tests.attributes.conftest import KEY, RunQuestion
from tests.attributes.fake_llm import (
    GOOD,
    ROBIN,
    FakeLLM,
    FakeResponse,
    completion,
    content_for_label,
    error_response,
    respond_in_turn,
    sentence_of,
)

TOKEN = "gateway-token-9876543210"
BODY: ChatBody = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.parametrize(
    "slow",
    [FakeResponse(body=completion(ROBIN), wait_s=30), FakeResponse(body=completion(ROBIN), drip_s=0.05)],
    ids=["hang", "drip"],
)
def test_a_response_that_hangs_or_drips_times_out(slow: FakeResponse, llm: FakeLLM, run_question: RunQuestion) -> None:
    llm.script = respond_in_turn(slow)
    started = time.monotonic()
    result = run_question(max_attempts=2, timeout_s=1)
    assert time.monotonic() - started < 15
    assert result.reason == "timeout"
    assert [call.status for call in result.calls] == ["timeout", "timeout"]
    assert all(call.http_status is None and call.latency_s >= 0.99 for call in result.calls)
    assert llm.num_calls == 2


@pytest.mark.slow
def test_a_slow_first_byte_within_the_timeout_is_accepted(llm: FakeLLM, run_question: RunQuestion) -> None:
    llm.script = respond_in_turn(FakeResponse(body=completion(ROBIN), wait_s=0.5))
    assert run_question().reason is None
    assert llm.num_calls == 1


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "pinned to another"}},
        {"error": "pinned to another"},
        {"message": "pinned to another", "code": 7},
        {"detail": "pinned to another"},
        {"detail": [{"loc": ["body", "model"], "msg": "pinned to another"}]},
    ],
)
def test_error_messages_of_every_shape_reach_the_detail(body: Any, llm: FakeLLM, run_question: RunQuestion) -> None:
    llm.script = respond_in_turn(FakeResponse(400, body))
    assert "pinned to another" in run_question().detail


@pytest.mark.slow
@pytest.mark.parametrize(
    "header",
    [
        lambda: {"Retry-After": "1"},
        lambda: {"retry-after-ms": "1000"},
        lambda: {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)},
    ],
    ids=["seconds", "milliseconds", "date"],
)
def test_retry_after_is_obeyed(header: Callable[[], dict[str, str]], llm: FakeLLM, run_question: RunQuestion) -> None:
    llm.script = respond_in_turn(lambda request: error_response(429, headers=header()), GOOD)
    assert run_question().reason is None
    first, second = llm.requests
    assert 0.95 <= second.received_at - first.received_at < 15


def test_characters_that_databases_reject_are_removed(llm: FakeLLM, run_question: RunQuestion) -> None:
    text = content_for_label("robin", sentence="A red\u0000 bird\ud800 of\u202e note\nwith a tail.")
    llm.script = respond_in_turn(FakeResponse(body=completion(text)))
    result = run_question()
    assert sentence_of(result) == "A red bird of note with a tail."
    assert (result.response_text or "").encode("utf-8")


@pytest.mark.parametrize("status", [200, 400, 401, 500])
@pytest.mark.parametrize("api_version", ["", "2024-10-21"])
def test_secrets_are_sent_but_never_shown(
    api_version: str, status: int, llm: FakeLLM, run_question: RunQuestion, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="openai")
    echo = f"you sent Bearer {KEY} and {TOKEN}"
    body = completion(content_for_label("robin", sentence=echo)) if status == 200 else {"error": {"message": echo}}
    llm.script = respond_in_turn(FakeResponse(status, body))
    changes = {"api_version": api_version, "headers": SecretStr(json.dumps({"X-Gateway": f"Bearer {TOKEN}"}))}
    shown: list[Any] = []
    try:
        shown.append(run_question(max_attempts=2, **changes))
    except FatalLLMError as error:
        shown += [error, error.calls, "".join(traceback.format_exception(error))]
    sent = llm.requests[0].headers
    assert (sent["api-key"] if api_version else sent["authorization"].removeprefix("Bearer ")) == KEY
    assert sent["x-gateway"] == f"Bearer {TOKEN}"
    assert "openai._base_client" in {record.name for record in caplog.records}
    settings = LLMSettings(model="m", api_key=SecretStr(KEY), **changes)
    outputs = [*map(repr, shown), *map(str, shown), caplog.text, repr(settings), settings.model_dump_json()]
    outputs += [str(vars(one)) for one in shown if hasattr(one, "__dict__")]
    assert all(KEY not in text and TOKEN not in text for text in outputs)


@pytest.mark.parametrize("before", ["x" * 290, ""])
def test_neither_a_cut_nor_an_invisible_character_shows_the_key(before: str) -> None:
    transport = Transport(LLMSettings(model="m", api_key=SecretStr(KEY)))
    assert KEY[:8] not in transport.printable(f"{before}{KEY}")
    assert KEY not in transport.printable(f"{before}{KEY[:5]}\u200b{KEY[5:]}")


@pytest.mark.parametrize("api_version", ["", "2024-10-21"])
def test_openai_environment_variables_are_not_sent(
    api_version: str, llm: FakeLLM, run_question: RunQuestion, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        *("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_BASE_URL"),
        *("OPENAI_API_VERSION", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN", "AZURE_OPENAI_ENDPOINT"),
    ):
        monkeypatch.setenv(name, "http://from-the-environment")
    names = ("X-Other", "Authorization", "api-key", "openai-organization")
    lines = [f"{name}: from-the-environment" for name in names]
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "\n".join(lines))
    run_question(api_key=SecretStr(""), api_version=api_version)
    run_question(api_version=api_version, headers=SecretStr('{"X-Other": "from the user"}'))
    keyless, keyed = llm.requests
    assert "from-the-environment" not in f"{keyless} {keyed}"
    assert (keyed.headers["api-key"] if api_version else keyed.headers["authorization"]).endswith(KEY)
    assert keyed.headers["x-other"] == "from the user"


def test_the_users_headers_replace_those_of_the_library(llm: FakeLLM, run_question: RunQuestion) -> None:
    headers = {"authorization": "Bearer other", "openai-organization": "org", "User-Agent": "limbeck"}
    run_question(headers=SecretStr(json.dumps(headers)))
    sent = llm.requests[0].headers
    assert {name: sent[name] for name in ("authorization", "openai-organization", "user-agent")} == {
        name.lower(): value for name, value in headers.items()
    }
    assert not any(name.startswith("x-stainless") for name in sent)


def test_azure_has_the_deployment_in_the_path_and_the_version_in_the_query(
    llm: FakeLLM, run_question: RunQuestion
) -> None:
    endpoint = llm.url.removesuffix("/v1")
    result = run_question(base_url=f"{endpoint}/", model="my gpt/4", api_version="2024-10-21")
    assert result.reason is None
    request = llm.requests[0]
    assert request.path == "/openai/deployments/my%20gpt%2F4/chat/completions?api-version=2024-10-21"
    assert request.headers["api-key"] == KEY
    assert "authorization" not in request.headers
    assert request.body["model"] == "my gpt/4"


@pytest.mark.parametrize("api_version", ["", "2024-10-21"])
def test_a_redirect_to_another_server_takes_no_secret_along(
    api_version: str, llm: FakeLLM, run_question: RunQuestion
) -> None:
    with FakeLLM() as other:
        to_self = lambda request: FakeResponse(307, None, {"Location": f"{llm.url}/again/chat/completions"})  # noqa: E731
        to_other = FakeResponse(307, None, {"Location": f"{other.url}/chat/completions"})
        llm.script = respond_in_turn(to_self, to_other)
        assert run_question(api_version=api_version, headers=SecretStr(f'{{"X-Gateway": "{TOKEN}"}}')).reason is None
    assert [request.headers.get("x-gateway") for request in llm.requests] == [TOKEN, TOKEN]
    assert TOKEN not in str(other.requests[0].headers)
    assert KEY not in str(other.requests[0].headers)


def test_the_http_client_does_not_retry(
    llm: FakeLLM, make_client: Callable[..., LLMClient], run_question: RunQuestion
) -> None:
    llm.script = respond_in_turn(error_response(500, headers={"x-should-retry": "true"}))
    assert len(run_question(max_attempts=1).calls) == llm.num_calls == 1


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/", "/gateway/openai"])
def test_chat_completions_lie_below_the_base_url(end: str, llm: FakeLLM, run_question: RunQuestion) -> None:
    server = llm.url.removesuffix("/v1")
    assert run_question(base_url=f"{server}{end}").reason is None
    assert llm.requests[0].path == f"{end.rstrip('/')}/chat/completions"


def test_a_base_url_without_port_and_path_keeps_its_host() -> None:
    seen: list[str] = []

    def respond(request: httpx2.Request) -> httpx2.Response:
        seen.append(str(request.url))
        return httpx2.Response(200, json=completion(ROBIN))

    async def send() -> str:
        transport = Transport(LLMSettings(base_url="https://llm.example", model="m", api_key=SecretStr(KEY)))
        transport.client()._client = httpx2.AsyncClient(transport=httpx2.MockTransport(respond))
        raw = await transport.send({"model": "m", "messages": []})
        await transport.close()
        return raw.status

    assert asyncio.run(send()) == "ok"
    assert seen == ["https://llm.example/chat/completions"]


def test_only_credentials_are_removed_from_a_response(llm: FakeLLM, run_question: RunQuestion) -> None:
    content = content_for_label("robin", sentence=f"The robin is unlike hummingbirds {TOKEN}.")
    llm.script = respond_in_turn(FakeResponse(body=completion(content)))
    headers = {"X-Title": "hummingbirds", "X-Gateway-Token": f" {TOKEN} "}
    result = run_question(headers=SecretStr(json.dumps(headers)))
    assert llm.requests[0].headers["x-gateway-token"] == TOKEN
    assert "unlike hummingbirds [key]." in str(result.calls[0].response_text)


def test_a_client_can_send_while_earlier_connections_close(llm: FakeLLM) -> None:
    llm.script = respond_in_turn(GOOD)

    async def run() -> list[str]:
        transport = Transport(LLMSettings(base_url=llm.url, model="m"))
        await transport.send(BODY)
        old, closing = transport.client(), asyncio.Event()
        close = old.close

        async def close_slowly() -> None:
            await close()
            closing.set()
            await asyncio.sleep(0.05)

        old.close = close_slowly  # type: ignore[method-assign]
        task = asyncio.create_task(transport.close())
        await closing.wait()
        statuses = [(await transport.send(BODY)).status]
        await task
        statuses.append((await transport.send(BODY)).status)
        await transport.close()
        return statuses

    assert asyncio.run(run()) == ["ok", "ok"]
