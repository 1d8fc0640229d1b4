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


def parse(response: object, label: Label | None = None, *, cut_off: bool = False) -> ParsedResponse:
    text = response if isinstance(response, str) else json.dumps(response)
    return parse_response(text, Question(DESCRIBE, label or Label("robin"), "birds"), cut_off=cut_off)


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


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ROBIN)[:-1] + ",}",
        str(ROBIN),
        json.dumps(ROBIN)[:-1],
        json.dumps(json.dumps(ROBIN)),
        json.dumps({"answer": ROBIN}),
        json.dumps({"answer": json.dumps(ROBIN)}),
        json.dumps({"name": "describe", "arguments": json.dumps(ROBIN)}),
        str({"response": ROBIN}),
        json.dumps({key.title(): value for key, value in ROBIN.items()}),
        json.dumps(json.dumps({"answer": ROBIN})),
        f"<think>{{}}</think>```json\n{ROBIN}\n```\nI hope this helps!",
    ],
)
def test_a_nearly_valid_response_is_repaired_unless_it_was_cut_off(text: str) -> None:
    parsed = parse(text)
    assert (parsed.fault, parsed.repaired) == (None, True)
    assert parsed.lines == parse(ROBIN).lines
    assert not parse(ROBIN).repaired
    is_complete_object = text.startswith("{") and text.endswith("}") and "'" not in text and ",}" not in text
    assert (parse(text, cut_off=True).fault is None) == is_complete_object


@pytest.mark.parametrize("num_missing", [1, 2, 3])
def test_a_list_without_its_end_must_have_enough_items(num_missing: int) -> None:
    assert parse(json.dumps(ROBIN)[:-num_missing]).repaired
    short = json.dumps(content_for_label("robin", num_phrases=4))
    assert parse(short).fault is None
    assert parse(short[:-num_missing]).fault == "truncated_answer"


def test_a_repaired_response_about_another_label_is_refused() -> None:
    assert parse(str(content_for_label("wren"))).fault == "wrong_label"
    assert parse({"answer": content_for_label("wren")}).fault == "wrong_label"


@pytest.mark.parametrize(
    "text",
    [
        f"<think>Perhaps {json.dumps(ROBIN)}",
        f"Perhaps {json.dumps(ROBIN)}. Or",
        f"<think>It is a bird.</think>Perhaps {json.dumps(ROBIN)}",
        f"analysisPerhaps {json.dumps(ROBIN)}",
        json.dumps(ROBIN)[:-1],
        str(ROBIN),
        json.dumps([ROBIN])[:-1],
    ],
)
def test_no_draft_of_a_response_that_was_cut_off_is_used(text: str) -> None:
    assert parse(text, cut_off=True).fault == "truncated_answer"


@pytest.mark.parametrize("lead", ["", "<think>It is a bird.</think>\n", "```json\n", "It is a bird.</think>```\n"])
def test_a_response_that_was_cut_off_after_its_object_is_used(lead: str) -> None:
    assert parse(f"{lead}{json.dumps(ROBIN)}\n\nThe robin", cut_off=True).fault is None


@pytest.mark.parametrize("cut_off", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "{" + "\n" * 300,
        "\n" * 300,
        json.dumps(ROBIN)[:60] + " \t" * 100,
        json.dumps(ROBIN)[:60] + " and the" * 60,
        "<think>" + "Wait, let me see. " * 40,
    ],
)
def test_a_response_that_got_stuck_is_degenerate(text: str, cut_off: bool) -> None:
    assert parse(text, cut_off=cut_off).fault == "degenerate_answer"


def test_white_space_after_a_complete_object_is_harmless() -> None:
    assert parse(json.dumps(ROBIN) + "\n" * 300, cut_off=True).fault is None
    assert parse("\n\n").fault == "empty_answer"


def test_a_refusal_as_an_object_is_a_refusal() -> None:
    assert parse({"error": "I'm sorry, but I can't describe this."}).fault == "refused"


def test_the_labels_of_a_pair_may_be_swapped_and_respelled() -> None:
    question = Question(load_strategy("contrast"), Label("Laysan albatross"), other=Label("Artic tern"))
    sides = {
        "target_value": "long",
        "other_value": "short",
        "target_phrase": "a long bill",
        "other_phrase": "a short bill",
    }
    data = {"label": "Arctic Tern", "other": "Albatross, Laysan", "differences": [{"part": "bill"} | sides] * 3}
    parsed = parse_response(json.dumps(data), question)
    assert question.label.name == "Artic tern"
    assert {line.text for line in parsed.lines} == {"a long bill"}
    data |= {"label": "Laysan albatross", "other": "arctic tern"}
    parsed = parse_response(json.dumps(data), question)
    assert {line.text for line in parsed.lines} == {"a short bill"}
    data |= {"label": "Laysan albatross", "other": "Caspian tern"}
    assert parse_response(json.dumps(data), question).fault == "wrong_label"


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


@pytest.mark.parametrize(
    "hostile",
    [
        "{" * 200_000,
        '{"a":' * 100_000,
        "<think>" * 100_000,
        "</think>" * 100_000,
        '{"a":[' * 50_000 + "}",
        "x" + " " * 100_000 + "x",
        "{'a': 'b'" + "\n" * 19_000 + "x",
        "{" + "/* */ " * 3_000,
        "{'label': " + "1" * 19_000 + "x 'robin'",
        "{'a': 'b', " * 1_500,
        "{'label': '" + 'a" " ' * 4_000,
        json.dumps({"label": "robin (" * 10_000, "sentence": "a", "phrases": ROBIN["phrases"]}),
        json.dumps({"label": "robin", "sentence": "a", "phrases": " " * 90_000}),
        "ab " * 33_000,
        "<" + "a" * 100_000,
        '"' + '\\"' * 50_000,
    ],
)
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
