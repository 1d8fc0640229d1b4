"""What is read from an answer, whatever it looks like."""

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


def read(answer: object, label: Label | None = None) -> ParsedResponse:
    text = answer if isinstance(answer, str) else json.dumps(answer)
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
def test_a_label_in_another_spelling_is_the_same(label: Label, echo: str) -> None:
    reading = read(content_for_label(echo), label)
    assert reading.fault is None
    assert reading.lines


@pytest.mark.parametrize(("label", "echo"), [("robin", "robins"), ("+++", "---"), ("crane", ""), ("type 1", "type 11")])
def test_another_label_is_not(label: str, echo: str) -> None:
    assert read(content_for_label(echo), Label(label)).fault == "wrong_label"


def test_the_last_object_that_fits_is_taken() -> None:
    draft, final = content_for_label("robin", sentence="A draft."), content_for_label("robin", sentence="The end.")
    text = f'Given {{label}} and {{"label": "robin"}}: {json.dumps(draft)} or rather {json.dumps(final)}. Done {{x}}.'
    reading = read(text)
    assert reading.lines[0].text == "The end."


def test_what_a_model_only_thought_is_not_its_answer() -> None:
    draft, final = json.dumps(content_for_label("robin", sentence="A draft.")), json.dumps(ROBIN)
    assert read(f"<think>Perhaps {draft}</think>It is red.").fault == "invalid_answer"
    assert read(f"<think>Perhaps {draft}, or").fault == "invalid_answer"
    assert read(f"<think>{{</think>{final}").fault is None


def test_phrases_are_noun_phrases_without_a_closing_stop() -> None:
    reading = read(
        content_for_label("robin") | {"phrases": [{"part": "bill ", "value": "long", "phrase": " a long  bill. "}] * 5}
    )
    assert reading.lines[1] == Line("phrase", "a long bill", "bill", "long", strategy="describe@1")
    assert reading.flags == ("duplicate_phrase",)
    assert "no phrase twice" in reading.correction


def test_fields_beyond_the_schema_are_not_read() -> None:
    reading = read(ROBIN | {"sense": "machine", "origin": "human", "flags": ["locked"]})
    assert (reading.fault, reading.flags) == (None, ())
    assert {line.origin for line in reading.lines} == {"llm"}
    assert reading.correction == ""


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"label": "robin", "sentence": "Red."}, "the object lacks phrases"),
        (ROBIN | {"sentence": ["a"]}, "sentence must be of type string"),
        (ROBIN | {"phrases": [{"part": "a", "value": "b"}] * 5}, "phrases.[] lacks phrase"),
        (ROBIN | {"phrases": ["a", "b", "c", "d", "e"]}, "phrases.[] must be of type object"),
        (ROBIN | {"phrases": [{"part": "", "value": "", "phrase": "x" * 201}] * 5}, "more than 200 characters"),
        (ROBIN | {"phrases": ROBIN["phrases"] * 10}, "more than 32 phrases"),
    ],
)
def test_what_does_not_fit_is_said_in_our_words(answer: dict[str, object], said: str) -> None:
    reading = read(answer)
    assert reading.fault == "invalid_answer"
    assert said in reading.detail
    assert said in reading.correction


def test_a_strategy_may_ask_for_plain_phrases_alone() -> None:
    schema = {
        "type": "object",
        "required": ["label", "phrases"],
        "properties": {"label": {"type": "string"}, "phrases": {"type": "array", "items": {"type": "string"}}},
    }
    plain = replace(DESCRIBE, schema=schema)
    reading = parse_response('{"label": "robin", "phrases": ["a red breast"]}', Question(plain, Label("robin")))
    assert reading.lines == (Line("phrase", "a red breast", strategy="describe@1"),)
    assert reading.flags == ("too_few_phrases",)


@pytest.mark.parametrize("hostile", ["{" * 200_000, '{"a":' * 100_000, "<think>" * 100_000, '{"a":[' * 50_000 + "}"])
def test_hostile_answers_cost_no_time(hostile: str) -> None:
    started = time.process_time()
    assert read(hostile).fault is not None
    assert time.process_time() - started < 2


@settings(deadline=None)
@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    reading = read(text)
    assert reading.fault is not None


FIELDS = st.sampled_from(["label", "sentence", "phrases", "part", "phrase"]) | st.text()
LEAVES = st.none() | st.booleans() | st.floats() | st.text()


@settings(deadline=None)
@given(st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(FIELDS, inner)))
def test_no_json_breaks_the_reader(value: object) -> None:
    reading = read(json.dumps(value))
    assert (reading.fault is None) == bool(reading.lines)
