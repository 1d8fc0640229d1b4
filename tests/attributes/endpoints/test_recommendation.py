"""Recommended settings follow from what was measured; what fits stays as it is."""

from typing import Any

from attributes.endpoints.model_list import ModelList
from attributes.endpoints.recommendation import Recommendation, recommend
from attributes.llm.results import Call
from attributes.llm.settings import LLMSettings

SETTINGS = LLMSettings(model="m")


def call(completion_tokens: int | None, latency_s: float, **more: Any) -> Call:
    fields: dict[str, Any] = {"attempt": 1, "status": "ok", "level": "prose", "http_status": 200, "prompt_tokens": 100}
    return Call(completion_tokens=completion_tokens, latency_s=latency_s, response_text=None, **{**fields, **more})


def recommended(*calls: Call, models: ModelList | None = None) -> Recommendation:
    found = recommend(SETTINGS, calls, models or ModelList())
    assert found is not None
    return found


def test_settings_that_fit_stay() -> None:
    found = recommended(call(300, 3.0), models=ModelList(num_slots=64))
    assert found == Recommendation(timeout_s=60, max_tokens=700, max_reasoning_tokens=8192, concurrency=16, reasons=())


def test_a_slow_server_needs_a_longer_timeout() -> None:
    found = recommended(call(300, 3.0), call(100, 20.0))  # 5 tokens per second
    assert found.timeout_s == 300  # 700 tokens take 140 s alone, and twice that beside others
    assert found.reasons == ("a response of 700 tokens would take 140 s alone",)


def test_long_answers_need_a_larger_limit() -> None:
    found = recommended(call(620, 1.0))
    assert (found.max_tokens, found.reasons) == (1300, ("an answer took 620 tokens",))


def test_a_loop_needs_no_larger_limit() -> None:
    assert recommended(call(2_100, 1.0, status="answer_too_long"), call(100, 1.0)).max_tokens == 700


def test_reasoning_has_its_own_limit() -> None:
    few = recommended(call(2_900, 10.0, reasoning_tokens=2_600))
    assert (few.max_tokens, few.max_reasoning_tokens) == (700, 8_192)
    many = recommended(call(9_300, 10.0, reasoning_tokens=9_000))
    assert (many.max_tokens, many.max_reasoning_tokens) == (700, 18_000)
    assert many.reasons == ("the model thought for 9,000 tokens",)


def test_nothing_is_recommended_without_measurements() -> None:
    assert recommend(SETTINGS, [call(None, 1.0)], ModelList(num_slots=2)) is None
