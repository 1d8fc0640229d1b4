"""Token estimates and upper bounds for a strategy before it has responses.

Estimates assume English text (about four characters per token) and the response lengths that the shipped strategies
usually get; averages of real responses are better. Two bounds are for one call without retries, at the token limit that
the model is known to need, and for all calls of one question: `max_attempts` of them, each with a correction after the
first, the schema also in the prompt, and the largest token limit, and one call that tests whether the server or the
question is at fault (`attributes.llm.client`). A server that ignores the token limit can bill more.
"""

import json
from dataclasses import dataclass

from attributes.llm.limits import estimated_tokens, max_prompt_tokens
from attributes.llm.model_profile import ModelProfile
from attributes.llm.requests import MAX_CORRECTION_CHARS, ChatRequest, build_request, max_limit_of, max_tokens_of
from attributes.llm.response_format import ChatBody
from attributes.llm.settings import LLMSettings
from attributes.prompts.questions import ImageFile, Question
from attributes.prompts.strategy import Strategy
from attributes.types import Label

MAX_CORRECTION_BYTES = 4 * MAX_CORRECTION_CHARS  # the most that a correction adds to a prompt
_NOTHING_LEARNED = ModelProfile()
_CHARS_PER_TOKEN = 4
_RESPONSE_BASE_TOKENS = 15  # braces, quotes, the label
_FIELD_TOKENS = {"sentence": 45, "answer": 60, "caption": 30}
_PHRASE_TOKENS, _DIFFERENCE_TOKENS = 25, 60
_STUB_IMAGE = ImageFile(b"\x89PNG\r\n\x1a\n")


@dataclass(frozen=True, kw_only=True)
class TokenEstimate:
    """Tokens of one question about an empty label: expected, of one call at its limits, and at most in all calls."""

    prompt_tokens: int
    completion_tokens: int
    call_prompt_tokens: int
    call_completion_tokens: int
    max_prompt_tokens: int
    max_completion_tokens: int


def estimate_tokens(
    strategy: Strategy,
    settings: LLMSettings,
    domain: str = "",
    *,
    profile: ModelProfile = _NOTHING_LEARNED,
    is_repair: bool = False,
) -> TokenEstimate:
    """Estimate the tokens of one question of the strategy.

    `profile`: what was learned about the model. `is_repair`: the question has a correction from the start.
    """
    question = _longest_question(strategy, domain)
    request = build_request(question)
    max_tokens, max_limit = max_tokens_of(question, settings), max_limit_of(question, settings)
    num_calls = max_num_calls(settings)
    schema_tokens = len(json.dumps(strategy.schema)) // _CHARS_PER_TOKEN
    correction = MAX_CORRECTION_BYTES if is_repair else 0
    most = max_prompt_tokens(_body(request.with_schema_in_prompt())) + correction
    return TokenEstimate(
        prompt_tokens=estimated_tokens(_body(request), 0) + schema_tokens,
        completion_tokens=min(_response_tokens(strategy), max_tokens) + profile.reasoning_tokens,
        call_prompt_tokens=max_prompt_tokens(_body(request)) + correction,
        call_completion_tokens=max_tokens + profile.allowance(max_limit - max_tokens),
        max_prompt_tokens=num_calls * most + (num_calls - 1) * MAX_CORRECTION_BYTES,
        max_completion_tokens=num_calls * max_limit,
    )


def max_num_calls(settings: LLMSettings) -> int:
    """How many calls of one question a server can bill."""
    return settings.max_attempts + 1


def _body(request: ChatRequest) -> ChatBody:
    """The body of a request that asks for the schema."""
    return {
        "model": "",
        "messages": request.messages_to_send(),
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": request.schema_name, "strict": True, "schema": request.schema},
        },
    }


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
