"""Objects that nearly fit the schema, and objects in which the answer is inside."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from attributes.parsing.shapes import fitted_objects
from attributes.prompts.strategy import load_strategy
from tests.attributes.fake_llm import content_for_label

SCHEMA = load_strategy().schema
ROBIN = content_for_label("robin")
UNNAMED = {key: value for key, value in ROBIN.items() if key != "label"}


def fitted(data: Mapping[str, Any]) -> list[Any]:
    objects = fitted_objects(data, SCHEMA, lambda text: text.lower() == "robin")
    return [found for found in objects if set(found) == set(ROBIN)]


@pytest.mark.parametrize(
    "data",
    [
        {"answer": ROBIN},
        {"response": {"data": [ROBIN]}},
        {"result": json.dumps(ROBIN)},
        {"name": "describe", "arguments": json.dumps(ROBIN)},
        {"type": "function", "function": {"name": "describe", "parameters": ROBIN}},
        {"thinking": "hm", "json": ROBIN},
        {"robin": UNNAMED},
        {"label": "robin", "description": UNNAMED},
        {"Label": ROBIN["label"], "SENTENCE": ROBIN["sentence"], "phrases ": ROBIN["phrases"]},
        {"name": "robin", **UNNAMED},
        ROBIN | {"sentence": [ROBIN["sentence"]]},
        ROBIN | {"sentence": {"text": ROBIN["sentence"]}},
        ROBIN | {"phrases": json.dumps(ROBIN["phrases"])},
        ROBIN | {"phrases": [ROBIN["phrases"]]},
        ROBIN | {"phrases": {str(i): phrase for i, phrase in enumerate(ROBIN["phrases"], start=1)}},
        ROBIN | {"phrases": [*ROBIN["phrases"], None, {}]},
        ROBIN | {"phrases": [{key.title(): value for key, value in phrase.items()} for phrase in ROBIN["phrases"]]},
    ],
)
def test_the_answer_is_found(data: dict[str, Any]) -> None:
    assert ROBIN in fitted(data)


@pytest.mark.parametrize(
    ("phrases", "texts"),
    [
        ("a red breast; a thin, short bill", ["a red breast", "a thin, short bill"]),
        ("- a red breast\n- a bill\n\n", ["a red breast", "a bill"]),
        ("1. a red breast\n2) a bill", ["a red breast", "a bill"]),
        (["a red breast", "- a bill"], ["a red breast", "a bill"]),
        ([{"phrase": "a red breast"}, {"phrase": "a bill", "part": None}], ["a red breast", "a bill"]),
    ],
)
def test_plain_phrases_have_no_part_and_value(phrases: object, texts: list[str]) -> None:
    expected = [{"phrase": text, "part": "", "value": ""} for text in texts]
    assert fitted(ROBIN | {"phrases": phrases})[0]["phrases"] == expected


@pytest.mark.parametrize(
    "data",
    [
        ROBIN | {"sentence": 7},
        ROBIN | {"sentence": ["One.", "Two."]},
        ROBIN | {"sentence": None},
        ROBIN | {"phrases": "a long, thin bill"},
        ROBIN | {"phrases": ["a", {"part": "b", "value": "c", "phrase": "d"}]},
        ROBIN | {"phrases": [{"part": "a", "value": "b"}]},
        ROBIN | {"phrases": {"bill": "long"}},
    ],
)
def test_what_a_person_would_doubt_stays_as_it_is(data: dict[str, Any]) -> None:
    validator = load_strategy().validator
    ignored = {"minItems", "maxItems", "additionalProperties"}
    for found in fitted(data):
        assert [error for error in validator.iter_errors(found) if error.validator not in ignored]


@pytest.mark.parametrize("key", ["thinking", "reasoning", "draft", "example", "chain_of_thought", "scratchpad"])
def test_a_draft_is_not_the_answer(key: str) -> None:
    assert fitted({key: ROBIN}) == []


def test_a_number_can_be_a_label_and_a_value_only() -> None:
    (found,) = fitted(ROBIN | {"label": 747, "phrases": [{"part": "engines", "value": 4, "phrase": "four engines"}]})
    assert found["label"] == "747"
    assert found["phrases"] == [{"part": "engines", "value": "4", "phrase": "four engines"}]


def test_deep_and_wide_objects_end() -> None:
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"a": deep, "b": {"c": 1}}
    assert len(list(fitted_objects(deep, SCHEMA, lambda text: False))) <= 50
