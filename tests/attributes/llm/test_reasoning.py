"""Models that think before they answer: the token limit grows once per model, and nothing unfinished is an answer."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from attributes.llm.client import LLMClient, QueryTotals
from attributes.llm.model_profile import LearnedProfiles
from attributes.llm.results import QuestionResult
from tests.attributes.conftest import RunQuestion, describe_question
from tests.attributes.fake_llm import FakeLLM, FakeRequest, FakeResponse, Script, completion, content_for_request

ANSWER_TOKENS = 120


def thinker(thinking: int, *, states_reasoning: bool = True, draft: bool = False) -> Script:
    """A model that thinks for so many tokens before each answer."""

    def script(request: FakeRequest, _index: int) -> FakeResponse:
        limit, content = request.body["max_tokens"], content_for_request(request)
        is_cut = limit < thinking + ANSWER_TOKENS
        body: dict[str, Any] = completion(None if is_cut else content, finish="length" if is_cut else "stop")
        if is_cut and draft:
            text = f"I could say {json.dumps(content)} but let me think about"
            body["choices"][0]["message"]["reasoning_content"] = text
        used = min(limit, thinking + ANSWER_TOKENS)
        body["usage"] = {"prompt_tokens": 100, "completion_tokens": used, "total_tokens": 100 + used}
        if states_reasoning:
            body["usage"]["completion_tokens_details"] = {"reasoning_tokens": min(limit, thinking)}
        return FakeResponse(body=body)

    return script


def describe(client: LLMClient, num: int) -> tuple[QueryTotals, list[QuestionResult]]:
    results: list[QuestionResult] = []

    async def main() -> QueryTotals:
        async with client:
            return await client.query_all(
                [describe_question(f"bird {i}") for i in range(num)], on_result=results.append
            )

    return asyncio.run(main()), results


@pytest.mark.parametrize(
    "states_reasoning",
    [
        pytest.param(
            True,
            marks=pytest.mark.quirk(
                "o-series, DeepSeek-R1, Qwen3 and other models that think",
                "2,600 tokens of thinking with a limit of 700",
                "the limit grows once per model; all labels are described",
            ),
        ),
        pytest.param(
            False,
            marks=pytest.mark.quirk(
                "models that think, behind servers that do not count it",
                "an empty answer that was cut off",
                "a larger limit, once per model, as for stated reasoning",
            ),
        ),
    ],
)
def test_the_limit_grows_once_per_model(
    states_reasoning: bool, llm: FakeLLM, make_client: Callable[..., LLMClient]
) -> None:
    llm.script = thinker(2_600, states_reasoning=states_reasoning)
    totals, results = describe(make_client(concurrency=1), 6)
    assert (totals.done, totals.failed) == (6, {})
    assert totals.completion_tokens == sum(
        result.calls[i].completion_tokens or 0 for result in results for i in range(len(result.calls))
    )
    assert [len(result.calls) for result in results[1:]] == [1] * 5
    assert all(request.body["max_tokens"] <= 700 + 8_192 for request in llm.requests)


def test_thinking_between_tags_that_nobody_counts_raises_the_limit_once_per_model(
    llm: FakeLLM, make_client: Callable[..., LLMClient]
) -> None:
    words = "red", "round", "long", "wing", "bill", "pale", "spot"
    thinking = "<think>" + " ".join(words[i * i % 1009 % 7] for i in range(1_800))  # 2,200 tokens

    def script(request: FakeRequest, _index: int) -> FakeResponse:
        limit, content = request.body["max_tokens"], json.dumps(content_for_request(request))
        is_cut = limit < 2_200 + ANSWER_TOKENS
        text = thinking[: 4 * limit] if is_cut else f"{thinking}</think>{content}"
        body = completion(text, finish="length" if is_cut else "stop")
        used = min(limit, 2_200 + ANSWER_TOKENS)
        body["usage"] = {"prompt_tokens": 100, "completion_tokens": used, "total_tokens": 100 + used}
        return FakeResponse(body=body)

    llm.script = script
    totals, results = describe(make_client(concurrency=1), 4)
    assert totals.failed == {}
    assert [len(result.calls) for result in results[1:]] == [1] * 3
    assert all(request.body["max_tokens"] <= 5_000 for request in llm.requests[-3:])


def test_the_reason_tells_how_much_was_thinking(llm: FakeLLM, run_question: RunQuestion) -> None:
    llm.script = thinker(50_000)
    result = run_question()
    assert result.reason == "answer_too_long"
    assert result.detail == "cut off at 8892 tokens, of which the model used 8892 to think"
    assert [request.body["max_tokens"] for request in llm.requests] == [700, 2800, 8892]


def test_the_operator_limits_the_growth(llm: FakeLLM, run_question: RunQuestion) -> None:
    llm.script = thinker(50_000)
    run_question(max_reasoning_tokens=0)
    assert [request.body["max_tokens"] for request in llm.requests] == [700, 2100]


def test_a_draft_in_truncated_thinking_is_not_an_answer(llm: FakeLLM, run_question: RunQuestion) -> None:
    llm.script = thinker(1_500, draft=True)
    result = run_question()
    assert result.reason is None
    assert [call.status for call in result.calls] == ["answer_too_long", "ok"]


def test_reasoning_effort_and_extra_body_are_sent(llm: FakeLLM, run_question: RunQuestion) -> None:
    extra = json.dumps({"chat_template_kwargs": {"enable_thinking": False}, "temperature": None})
    run_question(reasoning_effort="low", seed=7, top_p=0.9, extra_body=extra)
    body = llm.requests[0].body
    assert (body["reasoning_effort"], body["seed"], body["top_p"]) == ("low", 7, 0.9)
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert "temperature" not in body


def test_learned_reasoning_is_part_of_the_profile(llm: FakeLLM, run_question: RunQuestion) -> None:
    llm.script = thinker(1_500)
    profiles = LearnedProfiles()
    result = run_question(profiles=profiles)
    assert result.reason is None
    run_question("wren", profiles=profiles)
    assert llm.requests[-1].body["max_tokens"] == 700 + 2_250
