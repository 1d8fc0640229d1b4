"""Token estimates of a strategy, and their upper bounds."""

from dataclasses import replace

import pytest

from attributes.llm.costs.estimates import MAX_CORRECTION_BYTES, estimate_tokens, label_bytes
from attributes.llm.limits import max_prompt_tokens
from attributes.llm.model_profile import ModelProfile
from attributes.llm.requests import MAX_CORRECTION_CHARS, ChatRequest, build_request
from attributes.llm.response_format import ChatBody, NamedSchema
from attributes.llm.settings import LLMSettings
from attributes.prompts.questions import questions_for_label
from attributes.prompts.strategy import load_strategy
from attributes.types import Label

SETTINGS = LLMSettings(model="m", base_url="http://h/v1")


@pytest.mark.parametrize("name", ["describe", "sentence", "phrases", "questions"])
def test_estimates_are_positive_and_ordered(name: str) -> None:
    estimate = estimate_tokens(load_strategy(name), SETTINGS, "birds")
    assert 0 < estimate.prompt_tokens < estimate.call_prompt_tokens < estimate.max_prompt_tokens
    assert 0 < estimate.completion_tokens <= estimate.call_completion_tokens < estimate.max_completion_tokens


def test_reasoning_raises_the_expected_tokens_and_the_limit_of_a_call() -> None:
    sentence = load_strategy("sentence")
    plain = estimate_tokens(sentence, SETTINGS)
    thinking = estimate_tokens(sentence, SETTINGS, profile=ModelProfile(reasoning_tokens=2_000))
    assert thinking.completion_tokens == plain.completion_tokens + 2_000
    assert thinking.call_completion_tokens == plain.call_completion_tokens + 3_000
    assert thinking.max_completion_tokens == plain.max_completion_tokens  # it covers the largest limit anyway
    assert plain.max_completion_tokens == 6 * (SETTINGS.max_tokens + SETTINGS.max_reasoning_tokens)


@pytest.mark.parametrize("label", [Label("crane"), Label("crane", "bird"), Label('a "great" heron'), Label("鶴")])
@pytest.mark.parametrize("name", ["describe", "questions"])
def test_label_bytes_raise_the_upper_bounds_above_the_real_requests(name: str, label: Label) -> None:
    strategy = load_strategy(name)
    one_call = SETTINGS.model_copy(update={"max_attempts": 1})
    bound = estimate_tokens(strategy, one_call, "birds")
    for question in questions_for_label(strategy, label, "birds"):
        request = build_request(question)
        assert max_prompt_tokens(_body(request)) <= bound.call_prompt_tokens + label_bytes(label)
        assert max_prompt_tokens(_body(request.with_schema_in_prompt())) <= bound.max_prompt_tokens + label_bytes(label)


def test_all_calls_but_the_first_can_have_a_correction() -> None:
    correction = "鶴" * MAX_CORRECTION_CHARS
    two_calls = SETTINGS.model_copy(update={"max_attempts": 1})  # the attempt, and one call that tests the server
    question = replace(questions_for_label(load_strategy("sentence"), Label("a"))[0], correction=correction)
    request = build_request(question).with_schema_in_prompt()
    calls = [request, request.with_paragraph(correction)]
    bound = estimate_tokens(load_strategy("sentence"), two_calls, is_repair=True)
    assert sum(max_prompt_tokens(_body(call)) for call in calls) <= bound.max_prompt_tokens + 2 * label_bytes(
        Label("a")
    )


def _body(request: ChatRequest) -> ChatBody:
    schema: NamedSchema = {"name": request.schema_name, "strict": True, "schema": request.schema}
    return {
        "model": "m",
        "messages": request.messages_to_send(),
        "response_format": {"type": "json_schema", "json_schema": schema},
    }


def test_max_correction_bytes_covers_four_byte_characters() -> None:
    assert len(("𝄞" * MAX_CORRECTION_CHARS).encode()) == MAX_CORRECTION_BYTES
