"""JSON objects in texts: in prose, at the start, and encoded several times."""

import html
import json

import pytest

from attributes.parsing.json_texts import decoded_texts, object_at_start, objects_in

ROBIN = {"label": "robin", "sentence": 'A "red" bird.\nSmall.'}
TEXT = json.dumps(ROBIN)


def test_outermost_objects_are_found_in_order() -> None:
    found = objects_in(f'First {{"a": {{"b": 1}}}}, then [{TEXT}]. {{x}}')
    assert found.objects == [{"a": {"b": 1}}, ROBIN]
    assert found.incomplete
    assert not objects_in(TEXT).incomplete


@pytest.mark.parametrize("lead", ["", "\n ", "```json\n", "~~~\n", "<answer>", "<|begin_of_box|>", "\ufeff", "json\n"])
def test_an_object_at_the_start(lead: str) -> None:
    assert object_at_start(f"{lead}{TEXT}, then {TEXT}").objects == [ROBIN]


@pytest.mark.parametrize("text", ["", "Perhaps " + TEXT, TEXT[:-1], "{" * 100_000, f"[1, {TEXT}"])
def test_no_object_at_the_start(text: str) -> None:
    found = object_at_start(text)
    assert found.incomplete
    assert not found.objects


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(TEXT),
        json.dumps(json.dumps(TEXT)),
        json.dumps(json.dumps(json.dumps(TEXT))),
        f"```json\n{json.dumps(TEXT)}\n```",
        json.dumps(TEXT)[1:-1],
        f"Here: {json.dumps(TEXT)[1:-1]} Done.",
        html.escape(TEXT),
    ],
)
def test_encodings_are_removed(text: str) -> None:
    assert [found for one in decoded_texts(text) for found in objects_in(one).objects] == [ROBIN]


@pytest.mark.parametrize("text", ["", TEXT, '"', '"a', "\\", '{"a": "\\', '"a"', "&quot;"])
def test_a_text_without_encodings_has_no_object_in_it(text: str) -> None:
    assert not [found for one in decoded_texts(text) for found in objects_in(one).objects]
