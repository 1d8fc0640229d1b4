"""Outcomes as the rows that are kept of them: the calls made, with what each cost, and the answer."""

from collections.abc import Iterable
from typing import Any, Literal

from attributes.llm.prices import Price
from attributes.llm.results import Call, QuestionResult
from attributes.llm.settings import LLMSettings
from attributes.prompts.questions import Question


def answer_row(outcome: QuestionResult, settings: LLMSettings) -> dict[str, Any]:
    """The fields of `store.models.LLMAnswer` for an outcome with lines."""
    other = [line.as_json() for line in outcome.other_lines] if outcome.question.other else None
    return {
        "key": outcome.key,
        "model": settings.model,
        "base_url": settings.base_url,
        "strategy": outcome.question.strategy.ref,
        "messages": [dict(message) for message in outcome.messages],
        "answer": outcome.response_text or "",
        "lines": [line.as_json() for line in outcome.lines],
        "other_lines": other,
        "flags": list(outcome.flags),
    }


def cost_of(call: Call, price: Price | None, *, batch: bool = False) -> int | None:
    """Pico-dollars of a call; None where the price is unknown or the server stated no tokens.

    A request that the server refused (4xx) made no answer, and costs nothing whatever the price.
    """
    if is_stated(call):
        if price is None:
            return None
        return price.cost(
            prompt_tokens=call.prompt_tokens or 0,
            cached_tokens=call.cached_tokens or 0,
            completion_tokens=call.completion_tokens or 0,
            batch=batch,
        )
    return 0 if is_refused(call) else None


def is_stated(call: Call) -> bool:
    """Whether the server said how many tokens it took."""
    return call.prompt_tokens is not None and call.completion_tokens is not None


def is_refused(call: Call) -> bool:
    """Whether the server did not even begin with it."""
    return call.http_status is not None and 400 <= call.http_status < 500 and not is_stated(call)


def call_rows(
    ask: Question,
    calls: Iterable[Call],
    settings: LLMSettings,
    price: Price | None,
    *,
    key: str,
    position: int,
    mode: Literal["live", "batch"] = "live",
) -> list[dict[str, Any]]:
    """The calls as the ledger (`store.models.LLMCall`) keeps them: all but the answers' text."""
    return [
        {
            "position": position,
            "key": key,
            "strategy": ask.strategy.ref,
            "model": settings.model,
            "mode": mode,
            "attempt": call.attempt,
            "status": call.status,
            "http_status": call.http_status,
            "prompt_tokens": call.prompt_tokens,
            "cached_tokens": call.cached_tokens,
            "completion_tokens": call.completion_tokens,
            "cost_pusd": cost_of(call, price, batch=mode == "batch"),
            "latency_s": call.latency_s,
        }
        for call in calls
    ]
