"""HTTP attempts: timeouts, parsed responses, and the API key."""

import logging
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from pydantic import SecretStr

from attributes.llm.client import LLMClient
from attributes.llm.results import FatalLLMError
from attributes.llm.settings import LLMSettings
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
def test_the_api_key_is_sent_but_never_shown(
    status: int, llm: FakeLLM, run_question: RunQuestion, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = f"you sent Bearer {KEY}"
    body = completion(content_for_label("robin", sentence=echo)) if status == 200 else {"error": {"message": echo}}
    llm.script = respond_in_turn(FakeResponse(status, body))
    shown: list[Any] = []
    try:
        shown.append(run_question(max_attempts=2))
    except FatalLLMError as error:
        shown += [error, error.calls, "".join(traceback.format_exception(error))]
    assert llm.requests[0].headers["authorization"] == f"Bearer {KEY}"
    settings = LLMSettings(model="m", api_key=SecretStr(KEY))
    outputs = [*map(repr, shown), *map(str, shown), caplog.text, repr(settings), settings.model_dump_json()]
    outputs += [str(vars(one)) for one in shown if hasattr(one, "__dict__")]
    assert all(KEY not in text for text in outputs)


def test_openai_environment_variables_are_not_sent(
    llm: FakeLLM, run_question: RunQuestion, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_BASE_URL"):
        monkeypatch.setenv(name, "http://from-the-environment")
    run_question(api_key=SecretStr(""))
    assert "from-the-environment" not in str(llm.requests[0].headers)


def test_the_http_client_does_not_retry(
    llm: FakeLLM, make_client: Callable[..., LLMClient], run_question: RunQuestion
) -> None:
    llm.script = respond_in_turn(error_response(500, headers={"x-should-retry": "true"}))
    assert len(run_question(max_attempts=1).calls) == llm.num_calls == 1
