"""Token estimates of a strategy, and their upper bounds."""

import pytest

from attributes.llm.estimates import MAX_CORRECTION_BYTES, estimate_tokens, label_bytes
from attributes.llm.limits import max_prompt_tokens
from attributes.llm.model_profile import ModelProfile
from attributes.llm.requests import MAX_CORRECTION_CHARS, build_request
from attributes.llm.response_format import build_body
from attributes.llm.settings import LLMSettings
from attributes.prompts.questions import questions_for_label
from attributes.prompts.strategy import load_strategy
from attributes.types import Label

SETTINGS = LLMSettings(model="m", base_url="http://h/v1")


@pytest.mark.parametrize("name", ["describe", "sentence", "phrases", "questions"])
def test_estimates_are_positive_and_below_their_upper_bounds(name: str) -> None:
    estimate = estimate_tokens(load_strategy(name), SETTINGS, "birds")
    assert 0 < estimate.prompt_tokens < estimate.max_prompt_tokens
    assert 0 < estimate.completion_tokens <= estimate.max_completion_tokens


@pytest.mark.parametrize("label", [Label("crane"), Label("crane", "bird"), Label('a "great" heron'), Label("鶴")])
@pytest.mark.parametrize("name", ["describe", "questions"])
def test_label_bytes_raise_the_upper_bound_above_the_real_request(name: str, label: Label) -> None:
    strategy = load_strategy(name)
    bound = estimate_tokens(strategy, SETTINGS, "birds").max_prompt_tokens + label_bytes(label)
    for question in questions_for_label(strategy, label, "birds"):
        body = build_body(
            build_request(question), ModelProfile(), LLMSettings(model="m"), temperature=0, max_tokens=700
        )
        assert max_prompt_tokens(body) <= bound


def test_max_correction_bytes_covers_four_byte_characters() -> None:
    assert len(("𝄞" * MAX_CORRECTION_CHARS).encode()) == MAX_CORRECTION_BYTES
