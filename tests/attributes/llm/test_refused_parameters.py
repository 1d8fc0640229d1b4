"""Which parameter an error refuses, in the words of many servers; and what later requests leave out."""

from collections.abc import Callable

import pytest

from attributes.llm.model_profile import LearnedProfiles
from attributes.llm.refused_parameters import largest_limit, refused_parameter
from tests.attributes.conftest import RunQuestion
from tests.attributes.fake_llm import (
    FakeLLM,
    FakeRequest,
    FakeResponse,
    Script,
    error_response,
    respond_correctly,
)

SENT = {"model", "messages", "system", "temperature", "max_tokens", "response_format", "top_p", "seed"}
WORDINGS = [
    ("temperature", "", "`temperature` is deprecated for this model."),
    ("temperature", "", "don't support temperature=0.0. Only temperature=1 is supported"),
    ("temperature", "temperature", "Unsupported value: 'temperature' does not support 0 with this model."),
    ("temperature", "", "litellm.UnsupportedParamsError: gpt-5 models don't support temperature=0.0."),
    ("temperature", "", "Invalid value for temperature: this model requires temperature to be 1 only"),
    ("temperature", "", "temperature may only be set to 1 when thinking is enabled"),
    ("top_p", "", "`temperature` and `top_p` cannot both be specified for this model. Please use only one."),
    ("max_tokens", "max_tokens", "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
    ("max_tokens", "", "Unrecognized request argument supplied: max_tokens"),
    ("max_tokens", "", "this model is not supported MaxTokens, please use MaxCompletionTokens (max_completion_tokens)"),
    ("response_format", "", "This model does not support the `response_format` parameter"),
    ("response_format", "", "'response_format.type' must be 'json_schema' or 'text'"),
    ("response_format", "", "json_schema is not supported by this backend"),
    ("response_format", "", "Failed to initialize samplers: failed to parse grammar (invalid schema)"),
    ("response_format", "", "Structured outputs are not supported for this model"),
    ("system", "", "System role not supported"),
    ("system", "", "Developer instruction is not enabled for models/gemma-3-27b-it"),
    ("system", "", "Conversation roles must alternate user/assistant/user/assistant/..."),
    ("system", "", "Only user and assistant roles are supported!"),
    ("system", "", "Unexpected role 'system' in messages: only 'user' and 'assistant' are allowed"),
    ("seed", "", "Unknown parameter: 'seed'."),
    ("seed", "", "[{'type': 'extra_forbidden', 'loc': ('body', 'seed'), 'msg': 'Extra inputs are not permitted'}]"),
    ("", "", "The image could not be read"),
    ("", "", "context length exceeded: 9000 tokens"),
]


@pytest.mark.parametrize(("refused", "param", "message"), WORDINGS)
def test_the_refused_parameter_is_read_from_the_words(refused: str, param: str, message: str) -> None:
    found = refused_parameter(param, message, SENT)
    assert found == refused or (refused == "top_p" and found in ("top_p", "temperature"))


@pytest.mark.parametrize(
    ("message", "limit"),
    [
        ("max_tokens is too large: 8892. This model supports at most 4096 completion tokens", 4096),
        ("max_tokens: 8892 > 8,192, which is the maximum allowed number of output tokens", 8192),
        ("max_tokens is not supported", None),
        ("the sum of 8892 and 3 exceeds the range", None),
    ],
)
def test_the_largest_limit_is_read_from_the_words(message: str, limit: int | None) -> None:
    assert largest_limit(message, 8892) == limit


def strict(refuses: Callable[[FakeRequest], FakeResponse | None]) -> Script:
    return lambda request, index: refuses(request) or respond_correctly(request, index)


def without_temperature(request: FakeRequest) -> FakeResponse | None:
    if "temperature" not in request.body:
        return None
    return error_response(400, "don't support temperature=0.0. Only temperature=1 is supported")


def without_system_role(status: int) -> Callable[[FakeRequest], FakeResponse | None]:
    def refuses(request: FakeRequest) -> FakeResponse | None:
        has_system = any(message["role"] == "system" for message in request.body["messages"])
        return error_response(status, "System role not supported") if has_system else None

    return refuses


def without_any_limit(request: FakeRequest) -> FakeResponse | None:
    for name in ("max_tokens", "max_completion_tokens"):
        if name in request.body:
            return error_response(400, f"Unrecognized request argument supplied: {name}")
    return None


@pytest.mark.parametrize(
    ("refuses", "missing"),
    [
        pytest.param(
            without_temperature,
            "temperature",
            marks=pytest.mark.quirk(
                "GPT-5, Claude and others behind LiteLLM",
                "400 for `temperature` in many wordings, also of a strategy's own",
                "leaves it out for this model",
            ),
        ),
        pytest.param(
            without_system_role(400),
            "system",
            marks=pytest.mark.quirk(
                "Gemma 2", "400 `System role not supported`", "puts the system text before the user's"
            ),
        ),
        pytest.param(
            without_system_role(500),
            "system",
            marks=pytest.mark.quirk(
                "llama.cpp and others with a chat template",
                "500 for the system role",
                "puts the system text before the user's",
            ),
        ),
        pytest.param(
            without_any_limit,
            "max_tokens",
            marks=pytest.mark.quirk(
                "any server", "refuses both names of the token limit", "sends no limit to this model"
            ),
        ),
    ],
)
def test_a_refused_parameter_costs_one_call_per_model(
    refuses: Callable[[FakeRequest], FakeResponse | None], missing: str, llm: FakeLLM, run_question: RunQuestion
) -> None:
    llm.script = strict(refuses)
    profiles = LearnedProfiles()
    first = run_question("robin", profiles=profiles, max_attempts=1)
    num_calls = llm.num_calls
    second = run_question("wren", profiles=profiles, max_attempts=1)
    assert (first.reason, second.reason) == (None, None)
    assert llm.num_calls == num_calls + 1
    last = llm.requests[-1]
    assert missing not in last.body
    assert last.level == "json_schema"  # the response format is not blamed
    if missing == "system":
        assert [message["role"] for message in last.body["messages"]] == ["user"]
        assert str(llm.requests[0].body["messages"][0]["content"]) in last.prompt


def test_the_temperature_of_a_strategy_is_left_out_too(
    llm: FakeLLM, run_question: RunQuestion, tmp_path: object
) -> None:
    from attributes.prompts.questions import Question
    from attributes.prompts.strategy import load_strategy
    from attributes.types import Label

    llm.script = strict(without_temperature)
    strategy = next(one for one in map(load_strategy, ("questions", "captions", "sentence")) if one.temperature)
    question = Question(strategy, Label("robin"), "birds", text=strategy.questions[0] if strategy.questions else "")
    assert run_question(question).reason is None
    assert "temperature" not in llm.requests[-1].body


@pytest.mark.quirk(
    "OpenAI and others", "400 because the token limit is above the model's", "sends the largest that the error names"
)
def test_a_limit_above_the_models_is_lowered(llm: FakeLLM, run_question: RunQuestion) -> None:
    def refuses(request: FakeRequest) -> FakeResponse | None:
        limit = request.body["max_tokens"]
        if limit <= 512:
            return None
        return error_response(400, f"max_tokens is too large: {limit}. This model supports at most 512 tokens.")

    llm.script = strict(refuses)
    assert run_question(max_tokens=900).reason is None
    assert [request.body["max_tokens"] for request in llm.requests] == [900, 512]


@pytest.mark.parametrize(
    "accepts",
    [
        pytest.param(
            lambda request: request.body["messages"][0]["role"] == "user",
            marks=pytest.mark.quirk(
                "servers that give no reason",
                "a bare 500 for the system role",
                "tries it without, before the first answer of the model",
            ),
        ),
        pytest.param(
            lambda request: request.level == "prose",
            marks=pytest.mark.quirk(
                "servers that give no reason",
                "a bare 500 for the response format",
                "tries it without, before the first answer of the model",
            ),
        ),
        lambda request: request.level == "prose" and request.body["messages"][0]["role"] == "user",
    ],
)
def test_a_500_without_a_reason_can_be_a_refusal(
    accepts: Callable[[FakeRequest], bool], llm: FakeLLM, run_question: RunQuestion
) -> None:
    llm.script = lambda request, index: (
        respond_correctly(request, index) if accepts(request) else FakeResponse(500, b"Internal Server Error")
    )
    profiles = LearnedProfiles()
    assert run_question(profiles=profiles).reason is None
    num_calls = llm.num_calls
    assert run_question("wren", profiles=profiles).reason is None
    assert llm.num_calls == num_calls + 1
