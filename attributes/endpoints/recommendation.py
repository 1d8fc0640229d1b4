"""Settings that fit what a probe has measured."""

import math
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from attributes.endpoints.model_list import ModelList
from attributes.llm.model_profile import REASONING_MARGIN
from attributes.llm.results import Call
from attributes.llm.settings import LLMSettings

COMPLETE = ("ok", "wrong_label")  # the statuses of calls whose response fits the schema
_ROUND_TOKENS = 100
_ROUND_S = 30
_SLOWER_WITH_OTHERS = 2.0  # servers slow down when several calls are in flight
_ANSWER_MARGIN = 2.0  # of the longest answer: others may be longer


class Recommendation(BaseModel):
    """Settings for a model. Each is the present one unless the probe shows that it does not fit; `reasons` say why."""

    model_config = ConfigDict(frozen=True)

    timeout_s: float
    max_tokens: int
    max_reasoning_tokens: int
    concurrency: int
    reasons: tuple[str, ...]


def recommend(settings: LLMSettings, calls: Sequence[Call], models: ModelList) -> Recommendation | None:
    """What to set, after these calls; None without a call that reports its tokens."""
    counted = [call for call in calls if call.completion_tokens]
    if not counted:
        return None
    reasons: list[str] = []
    reasoning = max(call.reasoning_tokens or 0 for call in counted)
    # A response that was cut off or is no answer may be a loop, which no limit would fit.
    answers = [call for call in counted if call.status in COMPLETE]
    answer = max([(call.completion_tokens or 0) - (call.reasoning_tokens or 0) for call in answers], default=0)
    max_tokens, max_reasoning_tokens = settings.max_tokens, settings.max_reasoning_tokens
    if not reasoning and _ANSWER_MARGIN * answer > max_tokens:
        max_tokens = _rounded(_ANSWER_MARGIN * answer, _ROUND_TOKENS)
        reasons.append(f"an answer took {answer:,} tokens")
    if REASONING_MARGIN * reasoning > max_reasoning_tokens:
        max_reasoning_tokens = _rounded(_ANSWER_MARGIN * reasoning, _ROUND_TOKENS)
        reasons.append(f"the model thought for {reasoning:,} tokens")
    limit = max_tokens + min(max_reasoning_tokens, round(REASONING_MARGIN * reasoning))
    seconds_per_token = max(call.latency_s / (call.completion_tokens or 1) for call in counted)
    longest_s = _SLOWER_WITH_OTHERS * limit * seconds_per_token
    timeout_s = settings.timeout_s
    if longest_s > timeout_s:
        timeout_s = float(_rounded(longest_s, _ROUND_S))
        reasons.append(f"a response of {limit:,} tokens would take {longest_s / _SLOWER_WITH_OTHERS:.0f} s alone")
    concurrency = settings.concurrency
    if models.num_slots is not None and models.num_slots < concurrency:
        concurrency = models.num_slots
        reasons.append(f"the server processes {models.num_slots} requests at a time")
    return Recommendation(
        timeout_s=timeout_s,
        max_tokens=max_tokens,
        max_reasoning_tokens=max_reasoning_tokens,
        concurrency=concurrency,
        reasons=tuple(reasons),
    )


def _rounded(number: float, step: int) -> int:
    return math.ceil(number / step) * step
