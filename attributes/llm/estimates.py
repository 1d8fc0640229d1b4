"""Token estimates and upper bounds for a strategy before it has responses.

Estimates assume English text (about four characters per token) and the response lengths that the shipped strategies
usually get; averages of real responses are better. An upper bound is for one call without retries.
"""

import json
from dataclasses import dataclass

from attributes.llm.limits import estimated_tokens, max_prompt_tokens
from attributes.llm.model_profile import ModelProfile
from attributes.llm.requests import MAX_CORRECTION_CHARS, build_request, max_tokens_of, temperature_of
from attributes.llm.response_format import build_body
from attributes.llm.settings import LLMSettings
from attributes.prompts.questions import ImageFile, Question
from attributes.prompts.strategy import Strategy
from attributes.types import Label

MAX_CORRECTION_BYTES = 4 * MAX_CORRECTION_CHARS  # the most that a correction adds to a prompt
_CHARS_PER_TOKEN = 4
_RESPONSE_BASE_TOKENS = 15  # braces, quotes, the label
_FIELD_TOKENS = {"sentence": 45, "answer": 60, "caption": 30}
_PHRASE_TOKENS, _DIFFERENCE_TOKENS = 25, 60
_STUB_IMAGE = ImageFile(b"\x89PNG\r\n\x1a\n")


@dataclass(frozen=True, kw_only=True)
class TokenEstimate:
    """Tokens of one question about an empty label: estimates and upper bounds for prompt and response."""

    prompt_tokens: int
    completion_tokens: int
    max_prompt_tokens: int
    max_completion_tokens: int


def estimate_tokens(strategy: Strategy, settings: LLMSettings, domain: str = "") -> TokenEstimate:
    """Estimate the tokens of one question of the strategy."""
    question = _longest_question(strategy, domain)
    max_tokens = max_tokens_of(question, settings)
    temperature = temperature_of(question, settings)
    request = build_request(question)
    body = build_body(request, ModelProfile(), settings, temperature=temperature, max_tokens=max_tokens)
    schema_tokens = len(json.dumps(strategy.schema)) // _CHARS_PER_TOKEN
    return TokenEstimate(
        prompt_tokens=estimated_tokens(body, 0) + schema_tokens,
        completion_tokens=min(_response_tokens(strategy), max_tokens),
        max_prompt_tokens=max_prompt_tokens(body),
        max_completion_tokens=max_tokens,
    )


def label_bytes(label: Label) -> int:
    """The bytes that a label adds to the upper bound of its prompt, quoted as JSON."""
    subject = {"label": label.name, "sense": label.sense} if label.sense else {"label": label.name}
    return len(json.dumps(subject, ensure_ascii=False).encode("utf-8", "replace"))


def _longest_question(strategy: Strategy, domain: str) -> Question:
    text = max(strategy.questions, key=len, default="")
    return Question(
        strategy,
        Label("a"),
        domain,
        text=text,
        other=Label("b") if strategy.about == "pair" else None,
        image=_STUB_IMAGE if strategy.about == "image" else None,
    )


def _response_tokens(strategy: Strategy) -> int:
    limits = strategy.limits
    tokens = _RESPONSE_BASE_TOKENS + sum(_FIELD_TOKENS.get(field, 0) for field in strategy.response_fields)
    if "phrases" in strategy.response_fields:
        tokens += _PHRASE_TOKENS * min(limits.max_phrases, max(limits.min_phrases, 6))
    if "differences" in strategy.response_fields:
        tokens += _DIFFERENCE_TOKENS * min(limits.max_phrases, max(limits.min_phrases, 4))
    return tokens
