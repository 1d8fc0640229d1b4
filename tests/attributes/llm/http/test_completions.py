"""Answers in every dialect: why they ended, and where their text is."""

import json
from typing import Any

import pytest

from tests.attributes.fake_llm import completion
from tests.attributes.llm.http.conftest import Sender

ANSWER = {"label": "robin", "sentence": "Red."}
TEXT = json.dumps(ANSWER)
DRAFT = 'I could say {"label": "robin", "sentence": "Blue."}'


def ended(choice: dict[str, Any], content: str | None = TEXT, **message: Any) -> dict[str, Any]:
    """A completion whose choice has these fields."""
    body = completion(content)
    del body["choices"][0]["finish_reason"]
    body["choices"][0] |= choice
    body["choices"][0]["message"] |= message
    return body


CUT_OFF = "the limit grows once; the piece of an answer is never taken for the answer"


@pytest.mark.parametrize(
    "choice",
    [
        pytest.param({"finish_reason": reason}, marks=pytest.mark.quirk(server, f"finish_reason `{reason}`", CUT_OFF))
        for server, reason in [
            ("OpenAI", "length"),
            ("Google Gemini", "MAX_TOKENS"),
            ("Google Gemini", "FINISH_REASON_MAX_TOKENS"),
            ("Anthropic", "max_tokens"),
            ("Anthropic", "model_context_window_exceeded"),
            ("OpenAI-compatible gateways", "max_output_tokens"),
            ("OpenAI-compatible gateways", "maxTokens"),
            ("OpenAI-compatible gateways", "LENGTH"),
            ("Mistral", "model_length"),
            ("watsonx", "token_limit"),
            ("Hugging Face TGI", "max_new_tokens"),
            ("Cohere", "ERROR_LIMIT"),
        ]
    ]
    + [
        {"finish_reason": "stop", "native_finish_reason": "MAX_TOKENS"},
        {"finish_reason": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
        {"finish_reason": "incomplete"},
        {"finish_reason": None, "finish_details": {"type": "max_tokens"}},
    ],
    ids=str,
)
def test_a_response_at_its_token_limit_is_cut_off(choice: dict[str, Any], send: Sender) -> None:
    raw = send(ended(choice))
    assert (raw.status, raw.cut_off) == ("ok", True)


REFUSED = "that label is `refused`; the run continues"


@pytest.mark.parametrize(
    "choice",
    [
        pytest.param({"finish_reason": reason}, marks=pytest.mark.quirk(server, f"finish_reason `{reason}`", REFUSED))
        for server, reason in [
            ("OpenAI", "content_filter"),
            ("Google Gemini", "SAFETY"),
            ("Google Gemini", "RECITATION"),
            ("Google Gemini", "PROHIBITED_CONTENT"),
            ("Google Gemini", "BLOCKLIST"),
            ("Google Gemini", "SPII"),
            ("Zhipu", "sensitive"),
            ("Anthropic", "refusal"),
            ("Amazon Bedrock", "guardrail_intervened"),
            ("Amazon Bedrock", "content_filtered"),
            ("Cohere", "ERROR_TOXIC"),
        ]
    ]
    + [
        {"finish_reason": "stop", "native_finish_reason": "SAFETY"},
        {"finish_reason": "incomplete", "incomplete_details": {"reason": "content_filter"}},
    ],
    ids=str,
)
def test_a_filtered_response_is_refused(choice: dict[str, Any], send: Sender) -> None:
    raw = send(ended(choice, content=None))
    assert (raw.status, raw.cut_off) == ("refused", False)
    assert raw.completion_tokens == 40


@pytest.mark.parametrize(
    "reason",
    ["stop", "eos", "end_turn", "STOP", "eos_token", "stop_sequence", "COMPLETE", "FINISH_REASON_STOP", "", None],
)
def test_a_complete_response_is_complete_in_every_dialect(reason: str | None, send: Sender) -> None:
    raw = send(ended({"finish_reason": reason}))
    assert (raw.status, raw.text, raw.cut_off) == ("ok", TEXT, False)


@pytest.mark.parametrize(("tokens", "content", "reason"), [(700, TEXT, None), (700, "", "stop"), (701, TEXT, "OTHER")])
@pytest.mark.quirk("llama.cpp and others", "no reason why a response ended, but all allowed tokens used", CUT_OFF)
def test_a_response_with_all_allowed_tokens_and_no_reason_is_cut_off(
    tokens: int, content: str, reason: str | None, send: Sender
) -> None:
    body = ended({"finish_reason": reason}, content)
    body["usage"] = {"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": 10 + tokens}
    assert send(body).cut_off


@pytest.mark.parametrize("reason", ["error", "ERROR", "network_error", "insufficient_system_resource", "abort"])
@pytest.mark.quirk("OpenRouter, DeepSeek, vLLM", "an answer that an error broke off", "the draft is dropped; a retry")
def test_an_answer_that_an_error_broke_off_is_no_answer(reason: str, send: Sender) -> None:
    raw = send(ended({"finish_reason": reason}))
    assert (raw.status, raw.text) == ("server_error", None)
    assert raw.completion_tokens == 40


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": 429, "message": "slow down"}, "rate_limited"),
        ({"code": 502, "message": "Provider returned error"}, "server_error"),
        ({"code": 403, "message": "flagged", "metadata": {"reasons": ["violence"]}}, "refused"),
    ],
)
@pytest.mark.quirk("OpenRouter", "an error inside a choice, under status 200", "handled as the status of its code")
def test_an_error_in_a_choice_counts_as_its_code(error: dict[str, Any], status: str, send: Sender) -> None:
    raw = send(ended({"finish_reason": "error", "error": error}, content=None))
    assert raw.status == status
    assert error["message"] in raw.detail


def test_a_malformed_function_call_is_no_answer(send: Sender) -> None:
    assert send(ended({"finish_reason": "MALFORMED_FUNCTION_CALL"}, content=None)).status == "invalid_answer"


ELSEWHERE = "it is read there"


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(message, marks=pytest.mark.quirk(server, f"the answer is in {place}, without content", ELSEWHERE))
        for server, place, message in [
            ("DeepSeek, vLLM, SGLang", "`reasoning_content`", {"reasoning_content": TEXT}),
            ("OpenRouter, Ollama", "`reasoning`", {"reasoning": TEXT}),
            ("OpenRouter", "`reasoning_details`", {"reasoning_details": [{"type": "reasoning.text", "text": TEXT}]}),
            ("vLLM", "the arguments of a tool call", {"tool_calls": [{"function": {"name": "f", "arguments": TEXT}}]}),
            ("Ollama", "a tool call's object", {"tool_calls": [{"function": {"arguments": ANSWER}}]}),
            ("OpenAI", "`parsed`", {"parsed": ANSWER}),
            ("older servers", "`function_call`", {"function_call": {"name": "f", "arguments": TEXT}}),
            ("OpenAI-compatible gateways", "`text` beside the content", {"text": TEXT}),
        ]
    ],
)
@pytest.mark.parametrize("content", [None, "", "\n"])
def test_an_answer_outside_the_content_is_found(content: str | None, message: dict[str, Any], send: Sender) -> None:
    raw = send(ended({"finish_reason": "stop"}, content, **message))
    assert (raw.status, json.loads(raw.text or "null")) == ("ok", ANSWER)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking", "text", "tool_calls"])
@pytest.mark.quirk(
    "all reasoning models", "thinking that reached the token limit", "a draft in it is never stored; the limit grows"
)
def test_a_draft_in_thinking_that_was_cut_off_is_no_answer(field: str, send: Sender) -> None:
    value: Any = [{"function": {"arguments": DRAFT}}] if field == "tool_calls" else DRAFT
    raw = send(ended({"finish_reason": "length"}, None, **{field: value}))
    assert (raw.status, raw.text, raw.cut_off) == ("ok", None, True)


def test_thinking_without_an_answer_counts_as_reasoning(send: Sender) -> None:
    assert send(ended({"finish_reason": "length"}, "", reasoning=DRAFT)).reasoning_tokens == 40
    assert send(ended({"finish_reason": "stop"}, TEXT, reasoning=DRAFT)).reasoning_tokens is None


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": TEXT}],
        [{"type": "output_text", "text": TEXT}],
        [{"type": "text", "text": {"value": TEXT}}],
        [TEXT[:5], TEXT[5:]],
        {"type": "text", "text": TEXT},
        ANSWER,
        pytest.param(
            [{"type": "thinking", "thinking": [{"type": "text", "text": DRAFT}]}, {"type": "text", "text": TEXT}],
            marks=pytest.mark.quirk("Mistral", "content in parts, one of them thinking", "only the answer is read"),
        ),
        [{"type": "reasoning", "text": DRAFT}, {"type": "text", "text": TEXT}],
        [{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": TEXT}],
    ],
    ids=str,
)
def test_content_of_every_type_is_read_without_its_thinking(content: Any, send: Sender) -> None:
    raw = send(ended({"finish_reason": "stop"}, content=None) | {"choices": [{"message": {"content": content}}]})
    assert json.loads(raw.text or "null") == ANSWER


def test_a_plain_completion_and_a_refusal_are_read(send: Sender) -> None:
    assert send({"choices": [{"text": TEXT, "finish_reason": "stop"}]}).text == TEXT
    raw = send(ended({"finish_reason": "stop"}, None, refusal="I cannot describe this."))
    assert (raw.status, raw.detail) == ("refused", "I cannot describe this.")


@pytest.mark.quirk("Azure OpenAI", "categories of the content filter in a choice", "they are in the label's detail")
def test_the_categories_of_a_filter_are_named(send: Sender) -> None:
    results = {"violence": {"filtered": True, "severity": "high"}, "hate": {"filtered": False, "severity": "safe"}}
    raw = send(ended({"finish_reason": "content_filter", "content_filter_results": results}, content=None))
    assert (raw.status, raw.detail) == ("refused", "content filter: violence")


@pytest.mark.quirk("Google Gemini", "`promptFeedback.blockReason` in place of choices", REFUSED)
def test_a_blocked_prompt_is_refused(send: Sender) -> None:
    raw = send({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 12}})
    assert (raw.status, raw.prompt_tokens) == ("refused", 12)
    assert "PROHIBITED_CONTENT" in raw.detail
