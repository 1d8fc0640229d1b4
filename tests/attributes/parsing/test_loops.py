"""Responses that got stuck, and responses that only look so."""

import json
import time

import pytest

from attributes.parsing.loops import is_stuck
from tests.attributes.fake_llm import content_for_label

ROBIN = content_for_label("robin", num_phrases=8)
START = '{"label": "robin", "sentence": "A bird'
PHRASE = '{"part": "bill", "value": "long", "phrase": "a long bill"}, '


@pytest.mark.parametrize(
    "text",
    [
        "{" + "\n" * 300,
        '{"label": "robin",' + " \n\t" * 100,
        START + " " * 100,
        START + "\\n" * 100,
        START + "\\u00a0" * 40 + '"}',
        "{" + "\u00a0\u3000" * 60,
        "```json\n{" + "\t" * 100 + "\n```",
        '{\n"label":' + "\n" * 200 + '"robin",' + "\n" * 200 + '"sentence": "A',
        START + " with the" * 60,
        START + " red" * 50,
        "a" * 200,
        '{"label": "robin", "phrases": [' + PHRASE * 9 + '{"part": "bi',
        START + "".join(f" It has mark {i} on its left wing." for i in range(90, 120)),
    ],
)
def test_a_response_that_got_stuck(text: str) -> None:
    assert is_stuck(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{" + "\n" * 20,
        START,
        json.dumps(ROBIN, indent=12)[:-40],
        START + ", a very, very, very, very small one",
        '{"label": "robin", "phrases": [' + PHRASE * 3,
        START + "." * 40,
        "| --- | --- |\n" + "-" * 300,
    ],
)
def test_a_response_that_was_only_cut(text: str) -> None:
    assert not is_stuck(text)


def test_a_long_response_is_judged_in_milliseconds() -> None:
    started = time.process_time()
    assert not is_stuck("".join(f"{i} {i * 7919 % 10007:x} " for i in range(12_000)) + "x")
    assert time.process_time() - started < 0.5
