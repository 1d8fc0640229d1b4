"""Parsing of responses: labels, several JSON objects, faults, and arbitrary input."""

import json
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attributes.parsing.responses import ParsedResponse, parse_response
from attributes.prompts.questions import Question
from attributes.prompts.strategy import load_strategy
from attributes.types import Label, Line
from tests.attributes.fake_llm import content_for_label

DESCRIBE = load_strategy()
ROBIN = content_for_label("robin")


def parse(response: object, label: Label | None = None) -> ParsedResponse:
    text = response if isinstance(response, str) else json.dumps(response)
    return parse_response(text, Question(DESCRIBE, label or Label("robin")))


@pytest.mark.parametrize(
    ("label", "echo"),
    [
        (Label("Black_footed Albatross"), "black-footed albatross"),
        (Label("colt's foot"), "Colt’s Foot"),
        (Label("crane", "bird"), "crane"),
        (Label("crane", "bird"), "Crane (bird)"),
        (Label("Café"), "CAFE\u0301"),
        (Label("+++"), "+++"),
    ],
)
def test_a_label_in_another_spelling_is_accepted(label: Label, echo: str) -> None:
    parsed = parse(content_for_label(echo), label)
    assert parsed.fault is None
    assert parsed.lines


@pytest.mark.parametrize(
    ("label", "echo"), [("robin", "robins and wrens"), ("+++", "---"), ("crane", ""), ("type 1", "type 11")]
)
def test_another_label_is_refused(label: str, echo: str) -> None:
    assert parse(content_for_label(echo), Label(label)).fault == "wrong_label"


def test_the_last_valid_object_is_used() -> None:
    draft, final = content_for_label("robin", sentence="A draft."), content_for_label("robin", sentence="The end.")
    text = f'Given {{label}} and {{"label": "robin"}}: {json.dumps(draft)} or rather {json.dumps(final)}. Done {{x}}.'
    parsed = parse(text)
    assert parsed.lines[0].text == "The end."


def test_objects_in_think_tags_are_ignored() -> None:
    draft, final = json.dumps(content_for_label("robin", sentence="A draft.")), json.dumps(ROBIN)
    assert parse(f"<think>Perhaps {draft}</think>It is red.").fault == "invalid_answer"
    assert parse(f"<think>Perhaps {draft}, or").fault == "truncated_answer"
    assert parse(f"<think>{{</think>{final}").fault is None


def test_phrases_are_trimmed_and_lose_a_final_full_stop() -> None:
    parsed = parse(
        content_for_label("robin") | {"phrases": [{"part": "bill ", "value": "long", "phrase": " a long  bill. "}] * 5}
    )
    assert parsed.lines[1] == Line("phrase", "a long bill", "bill", "long", strategy="describe@1")
    assert parsed.flags == ("duplicate_phrase",)
    assert "no phrase twice" in parsed.correction


def test_additional_fields_are_ignored() -> None:
    parsed = parse(ROBIN | {"sense": "machine", "origin": "human", "flags": ["locked"]})
    assert (parsed.fault, parsed.flags) == (None, ())
    assert {line.origin for line in parsed.lines} == {"llm"}
    assert parsed.correction == ""


@pytest.mark.parametrize(
    ("response", "message"),
    [
        ({"label": "robin", "sentence": "Red."}, "the object lacks phrases"),
        (ROBIN | {"sentence": ["a", "b"]}, "sentence must be of type string"),
        (ROBIN | {"phrases": [{"part": "a", "value": "b"}] * 5}, "phrases.[] lacks phrase"),
        (ROBIN | {"phrases": [1, 2, 3, 4, 5]}, "phrases.[] must be of type object"),
        (ROBIN | {"phrases": [{"part": "", "value": "", "phrase": "x" * 201}] * 5}, "more than 200 characters"),
        (ROBIN | {"phrases": ROBIN["phrases"] * 10}, "more than 32 phrases"),
    ],
)
def test_a_schema_fault_is_in_the_detail_and_the_correction(response: dict[str, object], message: str) -> None:
    parsed = parse(response)
    assert parsed.fault == "invalid_answer"
    assert message in parsed.detail
    assert message in parsed.correction


def test_a_schema_can_have_phrases_as_plain_strings() -> None:
    schema = {
        "type": "object",
        "required": ["label", "phrases"],
        "properties": {"label": {"type": "string"}, "phrases": {"type": "array", "items": {"type": "string"}}},
    }
    plain = replace(DESCRIBE, schema=schema)
    parsed = parse_response('{"label": "robin", "phrases": ["a red breast"]}', Question(plain, Label("robin")))
    assert parsed.lines == (Line("phrase", "a red breast", strategy="describe@1"),)
    assert parsed.flags == ("too_few_phrases",)


@pytest.mark.parametrize("hostile", ["{" * 200_000, '{"a":' * 100_000, "<think>" * 100_000, '{"a":[' * 50_000 + "}"])
def test_hostile_responses_are_parsed_in_seconds(hostile: str) -> None:
    started = time.process_time()
    assert parse(hostile).fault is not None
    assert time.process_time() - started < 2


@settings(deadline=None)
@given(st.text())
def test_any_text_gives_a_fault(text: str) -> None:
    parsed = parse(text)
    assert parsed.fault is not None


FIELDS = st.sampled_from(["label", "sentence", "phrases", "part", "phrase"]) | st.text()
LEAVES = st.none() | st.booleans() | st.floats() | st.text()


@pytest.mark.slow
@settings(deadline=None)
@given(st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(FIELDS, inner)))
def test_any_json_gives_lines_or_a_fault(value: object) -> None:
    parsed = parse(json.dumps(value))
    assert (parsed.fault is None) == bool(parsed.lines)
