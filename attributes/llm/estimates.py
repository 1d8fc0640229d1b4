"""What questions will take before any was asked: guesses, and bounds that hold.

The guesses are of English text, about four characters a token, with answers as long as the shipped strategies mostly
get; whoever has seen a strategy's answers knows better. A bound is that of one call that is not made again.
"""

import json
from dataclasses import dataclass

from attributes.llm.limits import tokens_at_most, tokens_estimated
from attributes.llm.requests import MAX_CORRECTION_CHARS, max_tokens_of, request_for, temperature_of
from attributes.llm.response_format import FormatFallback
from attributes.llm.settings import LLMSettings
from attributes.prompts.questions import ImageFile, Question
from attributes.prompts.strategy import Strategy
from attributes.types import Label

CORRECTION_BYTES = 4 * MAX_CORRECTION_CHARS  # by how much what is said of an answer's faults can make a prompt longer
_CHARS_PER_TOKEN = 4
_ANSWER_TOKENS = 15  # braces, quotes, the label
_FIELD_TOKENS = {"sentence": 45, "answer": 60, "caption": 30}
_PHRASE_TOKENS, _DIFFERENCE_TOKENS = 25, 60
_PIXEL = ImageFile(b"\x89PNG\r\n\x1a\n")


@dataclass(frozen=True, kw_only=True)
class Guess:
    """Of one question with a label of no length: tokens of prompt and answer as guessed, and at most."""

    prompt_tokens: int
    completion_tokens: int
    prompt_at_most: int
    completion_at_most: int


def guess(strategy: Strategy, settings: LLMSettings, domain: str = "") -> Guess:
    """What one question of the strategy will take."""
    ask = _question(strategy, domain)
    max_tokens = max_tokens_of(ask, settings)
    form = FormatFallback().start(settings)
    body = form.body(
        request_for(ask), model=settings.model, temperature=temperature_of(ask, settings), max_tokens=max_tokens
    )
    schema = len(json.dumps(strategy.schema)) // _CHARS_PER_TOKEN
    return Guess(
        prompt_tokens=tokens_estimated(body, 0) + schema,
        completion_tokens=min(_answer_tokens(strategy), max_tokens),
        prompt_at_most=tokens_at_most(body),
        completion_at_most=max_tokens,
    )


def label_bytes(label: Label) -> int:
    """By how much a label makes the bound of its prompt larger: it stands there quoted."""
    return len(json.dumps([label.name, label.sense or ""], ensure_ascii=False).encode("utf-8", "replace"))


def _question(strategy: Strategy, domain: str) -> Question:
    question = max(strategy.questions, key=len, default="")
    return Question(
        strategy,
        Label("a"),
        domain,
        text=question,
        other=Label("b") if strategy.about == "pair" else None,
        image=_PIXEL if strategy.about == "image" else None,
    )


def _answer_tokens(strategy: Strategy) -> int:
    limits = strategy.limits
    tokens = _ANSWER_TOKENS + sum(_FIELD_TOKENS.get(field, 0) for field in strategy.wants)
    if "phrases" in strategy.wants:
        tokens += _PHRASE_TOKENS * min(limits.max_phrases, max(limits.min_phrases, 6))
    if "differences" in strategy.wants:
        tokens += _DIFFERENCE_TOKENS * min(limits.max_phrases, max(limits.min_phrases, 4))
    return tokens
