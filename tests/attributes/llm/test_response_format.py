"""The rung that works is remembered, per base URL and model."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from attributes.llm.client import LLMClient, Tally
from attributes.llm.response_format import MAX_MISSES, FormatFallback, ResponseFormat
from attributes.types import Label
from tests.attributes.conftest import AskOne, about
from tests.attributes.fake_llm import FakeLLM, Say, Seen, answer_for, completion, error, good


def no_schema(seen: Seen, nth: int) -> Say:
    return error(400) if seen.rung == "json_schema" else good(seen, nth)


def ignores_schema(seen: Seen, nth: int) -> Say:
    return Say(body=completion("It is red.")) if seen.rung == "json_schema" else good(seen, nth)


@pytest.mark.parametrize("script", [no_schema, ignores_schema])
def test_the_second_label_starts_on_the_rung_that_worked(
    script: Callable[[Seen, int], Say], llm: FakeLLM, ask: AskOne
) -> None:
    llm.script = script
    ladder = FormatFallback()
    ask("robin", ladder=ladder)
    ask("wren", ladder=ladder)
    assert [seen.rung for seen in llm.seen] == ["json_schema", "json_object_schema", "json_object_schema"]


def test_an_answer_about_another_label_shows_that_the_form_works(llm: FakeLLM, ask: AskOne) -> None:
    llm.script = lambda seen, nth: no_schema(seen, nth) if nth == 0 else Say(body=completion(answer_for("wren")))
    ladder = FormatFallback()
    ask("robin", ladder=ladder, max_attempts=1)
    ask("heron", ladder=ladder, max_attempts=1)
    assert [seen.rung for seen in llm.seen] == ["json_schema", "json_object_schema", "json_object_schema"]


def test_another_model_or_server_starts_at_the_top(llm: FakeLLM, ask: AskOne) -> None:
    llm.script = no_schema
    ladder = FormatFallback()
    ask(ladder=ladder)
    ask(ladder=ladder, model="other")
    with FakeLLM() as second:
        ask(ladder=ladder, base_url=second.url)
        assert [seen.rung for seen in second.seen] == ["json_schema"]
    assert [seen.rung for seen in llm.seen] == ["json_schema", "json_object_schema"] * 2


def test_below_the_top_the_schema_stands_in_the_prompt(llm: FakeLLM, ask: AskOne) -> None:
    llm.script = lambda seen, nth: good(seen, nth) if seen.rung == "prose" else error(422)
    ask()
    by_rung = {seen.rung: seen.prompt for seen in llm.seen}
    assert list(by_rung) == ["json_schema", "json_object_schema", "json_object", "prose"]
    assert "JSON Schema" not in by_rung["json_schema"]
    assert all('"minItems": 5' in by_rung[rung] for rung in ("json_object_schema", "json_object", "prose"))


def test_below_the_top_the_schema_is_still_held_where_a_server_can(llm: FakeLLM, ask: AskOne) -> None:
    llm.script = lambda seen, nth: good(seen, nth) if seen.rung == "json_object_schema" else error(422)
    assert ask().reason is None
    assert llm.seen[-1].body["response_format"]["schema"]["required"] == ["label", "sentence", "phrases"]
    assert llm.num_calls == 2


def test_parameters_that_new_models_refuse_are_left_out_from_then_on(llm: FakeLLM, ask: AskOne) -> None:
    def strict(seen: Seen, nth: int) -> Say:
        if "max_tokens" in seen.body:
            message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            return error(400, message, param="max_tokens", code="unsupported_parameter")
        if "temperature" in seen.body:
            return error(400, "Unsupported value", param="temperature", code="unsupported_value")
        return good(seen, nth)

    llm.script = strict
    ladder = FormatFallback()
    assert ask("robin", ladder=ladder, max_attempts=1).reason is None
    assert ask("wren", ladder=ladder, max_attempts=1).reason is None
    assert llm.num_calls == 4
    last = llm.seen[-1].body
    assert last["max_completion_tokens"] == 700
    assert last["response_format"]["type"] == "json_schema"
    assert not {"max_tokens", "temperature"} & set(last)


def test_one_miss_moves_one_label_and_three_in_a_row_the_memory(enricher: Callable[..., LLMClient]) -> None:
    settings = enricher().settings
    top, lower = ResponseFormat(), ResponseFormat("json_object_schema")
    ladder = FormatFallback()
    ladder.worked(settings, top)
    for _ in range(MAX_MISSES - 1):
        ladder.missed(settings, top)
        ladder.worked(settings, lower)
        assert ladder.start(settings) == top
    ladder.missed(settings, top)
    ladder.worked(settings, lower)
    assert ladder.start(settings) == lower
    ladder.worked(settings, top)
    assert ladder.start(settings) == top


def test_the_first_label_finds_out_alone(llm: FakeLLM, enricher: Callable[..., LLMClient]) -> None:
    llm.script = no_schema

    async def go(labels: Sequence[Label]) -> Tally:
        async with enricher() as asking:
            return await asking.ask_all(map(about, labels), concurrency=8)

    tally = asyncio.run(go([Label(f"bird {i}") for i in range(20)]))
    assert tally.done == 20
    assert tally.calls == llm.num_calls == 21
    assert [seen.rung for seen in llm.seen].count("json_schema") == 1


def test_what_is_learnt_is_told_and_spares_another_process_the_search(llm: FakeLLM, ask: AskOne) -> None:
    def picky(seen: Seen, nth: int) -> Say:
        if "max_tokens" in seen.body:
            return error(400, "Use 'max_completion_tokens' instead.", param="max_tokens")
        return no_schema(seen, nth)

    llm.script = picky
    told: list[tuple[str, str, dict[str, Any]]] = []
    ladder = FormatFallback(
        on_learnt=lambda base_url, model, form: told.append((base_url, model, json.loads(json.dumps(form))))
    )
    ask("robin", ladder=ladder)
    ask("wren", ladder=ladder)
    assert told == [
        (llm.url, "m", {"rung": "json_object_schema", "limit_name": "max_completion_tokens", "send_temperature": True})
    ]
    before = llm.num_calls
    other = FormatFallback()
    other.recall(*told[0])
    assert ask("heron", ladder=other).reason is None
    assert llm.num_calls == before + 1


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"rung": "xml"},
        {"rung": "prose"},
        ResponseFormat().as_json() | {"more": 1},
        ResponseFormat().as_json() | {"rung": "xml"},
    ],
)
def test_a_form_that_is_not_understood_is_not_recalled(odd: dict[str, Any], enricher: Callable[..., LLMClient]) -> None:
    settings = enricher().settings
    ladder = FormatFallback()
    ladder.recall(settings.base_url, settings.model, odd)
    assert not ladder.knows(settings)
    assert ladder.start(settings) == ResponseFormat()
