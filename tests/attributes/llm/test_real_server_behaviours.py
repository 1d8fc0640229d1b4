"""What the client does with the errors of real servers, in their own words.

`python -m benchmarks.real_servers.record` recorded them in `real_exchanges.json` (llama.cpp, transformers serve and the
LiteLLM proxy, with versions in `benchmarks/real_servers/environments.py`); the scripted server repeats them.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from attributes.llm.results import FatalLLMError, QuestionResult
from attributes.llm.settings import LLMSettings
from attributes.llm.transport import Transport
from attributes.prompts.questions import ImageFile, Question
from attributes.prompts.strategy import load_strategy
from attributes.types import Label
from tests.attributes.conftest import RunQuestion
from tests.attributes.fake_llm import FakeLLM, FakeRequest, FakeResponse, respond_correctly

OUTAGE_LIMIT_S = 0.2
CAPTION = Question(load_strategy("captions"), Label("robin"), image=ImageFile(b"\x89PNG\r\n\x1a\n"))
RECORDED = {
    (each["server"], each["case"]): each
    for each in json.loads((Path(__file__).parent / "real_exchanges.json").read_text(encoding="utf-8"))
}


def recorded(server: str, case: str) -> FakeResponse:
    """A response of a real server."""
    exchange = RECORDED[server, case]
    body = exchange["body"].encode() if isinstance(exchange["body"], str) else exchange["body"]
    return FakeResponse(exchange["status"], body, exchange["headers"])


def always(request: FakeRequest, index: int) -> bool:
    return True


def first(request: FakeRequest, index: int) -> bool:
    return index == 0


def with_schema(request: FakeRequest, index: int) -> bool:
    return request.level.endswith("schema")


def with_response_format(request: FakeRequest, index: int) -> bool:
    return "response_format" in request.body


def with_temperature(request: FakeRequest, index: int) -> bool:
    return "temperature" in request.body


def with_provider(request: FakeRequest, index: int) -> bool:
    return "provider" in request.body


@dataclass(frozen=True)
class Case:
    """A recorded response, and how a question ends that gets it whenever `when` is true, else a correct one.

    `outcome`: `lines`, a reason or the code of a fatal error, after at most `max_calls`; `detail` is part of its
    message.
    """

    server: str
    case: str
    behaviour: str
    handling: str
    outcome: str
    max_calls: int
    when: Callable[[FakeRequest, int], bool] = always
    detail: str = ""


LLAMA, TRANSFORMERS, LITELLM = "llama.cpp", "transformers serve", "LiteLLM"
CASES = [
    Case(LLAMA, "wrong key", "401 `Invalid API Key`", "the run ends as `llm_wrong_key`", "llm_wrong_key", 1),
    Case(LLAMA, "cut off", "`finish_reason: length`", "a larger limit; then `answer_too_long`", "answer_too_long", 3),
    Case(
        LLAMA,
        "unknown response format",
        "400 for a `response_format` that it does not know",
        "the next response format",
        "lines",
        4,
        with_response_format,
    ),
    Case(
        LLAMA,
        "invalid schema",
        "400 `Unable to generate parser for this template`, for a schema that its grammar cannot express",
        "the next response format",
        "lines",
        3,
        with_schema,
    ),
    Case(
        LLAMA,
        "temperature of a wrong type",
        "400 `Field 'temperature': …` for a parameter",
        "it is left out",
        "lines",
        2,
        with_temperature,
    ),
    Case(
        LLAMA,
        "unknown reasoning_format",
        "500 for a parameter that the operator set wrongly",
        "each question ends as `bad_request`; after several the run ends as `llm_bad_request`",
        "bad_request",
        4,
        detail="Unknown reasoning format: bogus",
    ),
    Case(
        LLAMA,
        "image to a text model",
        "500 `image input is not supported`",
        "that question ends as `bad_request`",
        "bad_request",
        4,
        detail="image input is not supported",
    ),
    Case(
        LLAMA,
        "unparsable output",
        "500 `The model produced output that does not match the expected peg-native format`, after a whole generation",
        "an unusable answer to that question: the next response format",
        "lines",
        3,
        with_schema,
    ),
    Case(LLAMA, "loading", "503 `Loading model`", "waits, and sends the question again", "lines", 2, first),
    Case(
        LLAMA,
        "prompt longer than the context",
        "400 `exceed_context_size_error`",
        "that question ends as `bad_request`, with the sizes",
        "bad_request",
        4,
        detail="exceeds the available context size (512 tokens)",
    ),
    Case(
        LLAMA,
        "thoughts up to the limit",
        "thoughts in `reasoning_content` up to the token limit, with empty `content`",
        "a larger limit; then `answer_too_long`",
        "answer_too_long",
        3,
        detail="cut off at",
    ),
    Case(
        TRANSFORMERS,
        "unknown model, pinned",
        "400 `Server is pinned to 'A'; requested 'B'.`",
        "the run ends as `llm_unknown_model`",
        "llm_unknown_model",
        1,
    ),
    Case(
        TRANSFORMERS,
        "unknown parameter",
        "422 `Unexpected fields in the request: {'provider'}`",
        "the parameter is left out",
        "lines",
        2,
        with_provider,
    ),
    Case(
        TRANSFORMERS,
        "unknown model",
        "500 `Internal Server Error` for a model that it cannot load",
        "an outage: after the limit the run ends as `llm_unavailable`, with the server's status",
        "llm_unavailable",
        100,
        detail="HTTP 500",
    ),
    Case(
        LITELLM,
        "wrong key",
        "400 `No connected db.` for a wrong key, of a proxy without a database",
        "the run ends as `llm_wrong_key`",
        "llm_wrong_key",
        1,
    ),
    Case(
        LITELLM,
        "unknown model",
        "400 `Invalid model name passed in model=…`",
        "the run ends as `llm_unknown_model`",
        "llm_unknown_model",
        1,
    ),
    Case(
        LITELLM,
        "invalid schema",
        "400 of the server behind it, in its own words",
        "the next response format",
        "lines",
        3,
        with_schema,
    ),
    Case(
        LITELLM,
        "prompt longer than the context",
        "400 `litellm.ContextWindowExceededError`",
        "that question ends as `bad_request`, with the sizes",
        "bad_request",
        4,
        detail="exceeds the available context size (512 tokens)",
    ),
    Case(
        LITELLM,
        "image to a text model",
        "500 `litellm.InternalServerError: … image input is not supported`",
        "that question ends as `bad_request`",
        "bad_request",
        4,
        detail="image input is not supported",
    ),
    Case(
        LITELLM,
        "server behind it away",
        "500 `OpenAIException - Connection error.`",
        "waits, and sends the question again",
        "lines",
        2,
        first,
    ),
    Case(
        LITELLM,
        "key behind it refused",
        "401 `litellm.AuthenticationError` for the proxy's own key at the server behind it",
        "the run ends as `llm_wrong_key`",
        "llm_wrong_key",
        1,
    ),
    Case(
        LITELLM,
        "rate limit",
        "429 `No deployments available for selected model.` without a time to wait",
        "waits, and sends the question again",
        "lines",
        2,
        first,
    ),
]


def _parameter(case: Case) -> Any:
    """A case with its row of docs/servers.md."""
    mark = pytest.mark.quirk(case.server, case.behaviour, case.handling)
    return pytest.param(case, id=f"{case.server}: {case.case}", marks=mark)


def _outcome(run: Callable[[], QuestionResult]) -> tuple[str, str, int]:
    """How a question ends, in which words, and after how many calls."""
    try:
        result = run()
    except FatalLLMError as error:
        return error.code, error.message, len(error.calls)
    return result.reason or "lines", result.detail, len(result.calls)


@pytest.mark.parametrize("case", [_parameter(case) for case in CASES])
def test_a_real_server_s_response(case: Case, llm: FakeLLM, run_question: RunQuestion) -> None:
    refused = recorded(case.server, case.case)
    llm.script = lambda request, index: refused if case.when(request, index) else respond_correctly(request, index)
    extra = {"extra_body": '{"provider": {"order": ["x"]}}'} if case.when is with_provider else {}
    what = CAPTION if "image" in case.case else "robin"
    outcome, detail, num_calls = _outcome(lambda: run_question(what, outage_limit_s=OUTAGE_LIMIT_S, **extra))
    assert (outcome, num_calls <= case.max_calls) == (case.outcome, True), detail
    assert num_calls == llm.num_calls
    assert case.detail in detail


@pytest.mark.parametrize(
    "with_header",
    [
        pytest.param(
            True,
            marks=pytest.mark.quirk(
                "LiteLLM", "429 `all_deployments_in_cooldown` with `Retry-After`", "waits as long as it says"
            ),
        ),
        pytest.param(
            False,
            marks=pytest.mark.quirk(
                "LiteLLM", "429 `… Try again in 5 seconds.`, only in words", "waits as long as it says"
            ),
        ),
    ],
)
def test_the_wait_of_a_proxy_in_cooldown(with_header: bool) -> None:
    exchange = RECORDED[LITELLM, "cooldown"]
    headers = exchange["headers"] if with_header else {}
    transport = Transport(LLMSettings(base_url="http://127.0.0.1:1/v1", model="m"))
    raw = transport.parse(exchange["status"], exchange["body"], headers)
    assert (raw.status, raw.retry_after_s) == ("rate_limited", 5.0)


def test_every_recorded_exchange_has_a_test() -> None:
    tested = {(case.server, case.case) for case in CASES} | {(LITELLM, "cooldown")}
    assert tested == set(RECORDED)
