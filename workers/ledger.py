"""Outcomes as the rows that are kept of them: the calls made, and the answer."""

from typing import Any

from attributes.calls import Outcome
from attributes.settings import LLMSettings


def answer_row(outcome: Outcome, settings: LLMSettings) -> dict[str, Any]:
    """The fields of `store.models.LLMAnswer` for an outcome with lines."""
    other = [line.as_json() for line in outcome.other_lines] if outcome.ask.other else None
    return {
        "key": outcome.key, "model": settings.model, "base_url": settings.base_url,
        "strategy": outcome.ask.strategy.ref, "messages": [dict(message) for message in outcome.messages],
        "answer": outcome.answer or "", "lines": [line.as_json() for line in outcome.lines], "other_lines": other,
        "flags": list(outcome.flags),
    }  # fmt: skip


def call_rows(outcome: Outcome, settings: LLMSettings, *, key: str, position: int) -> list[dict[str, Any]]:
    """The calls as the ledger (`store.models.LLMCall`) keeps them: all but the answers' text."""
    return [
        {
            "position": position, "key": key, "strategy": outcome.ask.strategy.ref, "model": settings.model,
            "mode": "live", "attempt": call.attempt, "status": call.status, "http_status": call.http_status,
            "prompt_tokens": call.prompt_tokens, "cached_tokens": call.cached_tokens,
            "completion_tokens": call.completion_tokens, "cost_pusd": None, "latency_s": call.latency_s,
        }
        for call in outcome.calls
    ]  # fmt: skip
