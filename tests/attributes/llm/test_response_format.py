"""The response format that works is remembered, per base URL and model."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from attributes.llm.client import LLMClient, QueryTotals
from attributes.llm.model_profile import LearnedProfiles
from attributes.types import Label
from tests.attributes.conftest import RunQuestion, describe_question
from tests.attributes.fake_llm import (
    FakeLLM,
    FakeRequest,
    FakeResponse,
    completion,
    content_for_label,
    error_response,
    respond_correctly,
)


def no_schema(request: FakeRequest, index: int) -> FakeResponse:
    return error_response(400) if request.level == "json_schema" else respond_correctly(request, index)


def ignores_schema(request: FakeRequest, index: int) -> FakeResponse:
    return (
        FakeResponse(body=completion("It is red."))
        if request.level == "json_schema"
        else respond_correctly(request, index)
    )


@pytest.mark.parametrize("script", [no_schema, ignores_schema])
def test_the_second_question_starts_at_the_level_that_worked(
    script: Callable[[FakeRequest, int], FakeResponse], llm: FakeLLM, run_question: RunQuestion
) -> None:
    llm.script = script
    profiles = LearnedProfiles()
    run_question("robin", profiles=profiles)
    run_question("wren", profiles=profiles)
    assert [request.level for request in llm.requests] == ["json_schema", "json_object_schema", "json_object_schema"]


def test_a_response_about_another_label_counts_as_success_of_the_format(
    llm: FakeLLM, run_question: RunQuestion
) -> None:
    llm.script = lambda request, index: (
        no_schema(request, index) if index == 0 else FakeResponse(body=completion(content_for_label("wren")))
    )
    profiles = LearnedProfiles()
    run_question("robin", profiles=profiles, max_attempts=1)
    run_question("heron", profiles=profiles, max_attempts=1)
    assert [request.level for request in llm.requests] == ["json_schema", "json_object_schema", "json_object_schema"]


def test_another_model_or_server_starts_at_the_highest_level(llm: FakeLLM, run_question: RunQuestion) -> None:
    llm.script = no_schema
    profiles = LearnedProfiles()
    run_question(profiles=profiles)
    run_question(profiles=profiles, model="other")
    with FakeLLM() as second:
        run_question(profiles=profiles, base_url=second.url)
        assert [request.level for request in second.requests] == ["json_schema"]
    assert [request.level for request in llm.requests] == ["json_schema", "json_object_schema"] * 2


def test_lower_levels_have_the_schema_in_the_prompt(llm: FakeLLM, run_question: RunQuestion) -> None:
    llm.script = lambda request, index: (
        respond_correctly(request, index) if request.level == "prose" else error_response(422)
    )
    run_question()
    prompt_by_level = {request.level: request.prompt for request in llm.requests}
    assert list(prompt_by_level) == ["json_schema", "json_object_schema", "json_object", "prose"]
    assert "JSON Schema" not in prompt_by_level["json_schema"]
    assert all('"minItems": 5' in prompt_by_level[level] for level in ("json_object_schema", "json_object", "prose"))


def test_json_object_schema_still_sends_the_schema(llm: FakeLLM, run_question: RunQuestion) -> None:
    llm.script = lambda request, index: (
        respond_correctly(request, index) if request.level == "json_object_schema" else error_response(422)
    )
    assert run_question().reason is None
    assert llm.requests[-1].body["response_format"]["schema"]["required"] == ["label", "sentence", "phrases"]
    assert llm.num_calls == 2


def test_refused_parameters_are_left_out_of_later_requests(llm: FakeLLM, run_question: RunQuestion) -> None:
    def strict(request: FakeRequest, index: int) -> FakeResponse:
        if "max_tokens" in request.body:
            message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            return error_response(400, message, param="max_tokens", code="unsupported_parameter")
        if "temperature" in request.body:
            return error_response(400, "Unsupported value", param="temperature", code="unsupported_value")
        return respond_correctly(request, index)

    llm.script = strict
    profiles = LearnedProfiles()
    assert run_question("robin", profiles=profiles, max_attempts=1).reason is None
    assert run_question("wren", profiles=profiles, max_attempts=1).reason is None
    assert llm.num_calls == 4
    last = llm.requests[-1].body
    assert last["max_completion_tokens"] == 700
    assert last["response_format"]["type"] == "json_schema"
    assert not {"max_tokens", "temperature"} & set(last)


def test_the_first_question_probes_the_format_alone(llm: FakeLLM, make_client: Callable[..., LLMClient]) -> None:
    llm.script = no_schema

    async def main(labels: Sequence[Label]) -> QueryTotals:
        async with make_client() as client:
            return await client.query_all(map(describe_question, labels), concurrency=8)

    totals = asyncio.run(main([Label(f"bird {i}") for i in range(20)]))
    assert totals.done == 20
    assert totals.calls == llm.num_calls == 21
    assert [request.level for request in llm.requests].count("json_schema") == 1
