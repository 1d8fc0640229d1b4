"""Repairs of nearly valid JSON: what is repaired, and that nothing is added, dropped or taken from half an answer."""

import json
import random
import re

import pytest

from attributes.parsing.repair import repaired_objects

PHRASES = [{"part": "bill", "phrase": "a long, thin bill"}, {"part": "robin's wing", "phrase": "a wing, barred"}]
ROBIN = {"label": "robin", "sentence": "A robin's breast is red: round, small.", "phrases": PHRASES}
TEXT, INDENTED = json.dumps(ROBIN), json.dumps(ROBIN, indent=2)
QUOTED = ROBIN | {"sentence": 'It has a "red", "round" breast.'}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (TEXT[:-1] + ",}", ROBIN),
        (TEXT.replace("}]", "},]"), ROBIN),
        (str(ROBIN), ROBIN),
        (str(ROBIN | {"ok": True, "none": None}), ROBIN | {"ok": True, "none": None}),
        (str(QUOTED), QUOTED),
        (INDENTED.replace('"phrases": [', '// the "phrases"\n  "phrases": [ # of it'), ROBIN),
        (INDENTED.replace('"label"', '/* the label */ "label"'), ROBIN),
        (re.sub(r'"(\w+)":', r"\1:", TEXT), ROBIN),
        (TEXT.translate({ord('"'): "”"}), ROBIN),
        (re.sub(r'"([^"]*)"', r"“\1”", TEXT), ROBIN),
        (TEXT.replace('": ', '"：').replace('", "', '"，"'), ROBIN),
        (INDENTED.replace('robin",', 'robin"'), ROBIN),
        (TEXT.replace("is red", "is\nred"), ROBIN | {"sentence": "A robin's breast is\nred: round, small."}),
        (TEXT[:-1] + ', "score": NaN,}', ROBIN | {"score": None}),
        (json.dumps(QUOTED).replace('\\"', '"'), QUOTED),
        (TEXT.replace("red: ", 'red: " + "'), ROBIN),
        (TEXT.replace("robin's breast", "robin\\'s breast"), ROBIN),
        (TEXT.replace("}]}", "}, ...]}"), ROBIN),
        (TEXT[1:], ROBIN),
        (f"Here it is:\n```python\n{ROBIN}\n```\nMore?", ROBIN),
        (f"Draft: {{'label': 'a\nFinal: {ROBIN}", ROBIN),
    ],
)
def test_nearly_valid_json_is_repaired(text: str, value: object) -> None:
    found = list(repaired_objects(text))
    assert [repaired.data for repaired in found if "label" in repaired.data] == [value]
    assert not found[0].unclosed


@pytest.mark.parametrize("text", [TEXT[:-1], TEXT[:-2], TEXT[:-3], f"```json\n{TEXT[:-1]}\n```", f"{ROBIN}"[:-1]])
def test_missing_closing_braces_are_reported(text: str) -> None:
    found = next(repaired_objects(text))
    assert found.data == ROBIN
    assert found.unclosed


@pytest.mark.parametrize(
    "text",
    [
        TEXT[:-4],
        TEXT[: TEXT.index("small")],
        TEXT[: TEXT.index("}, {") + 2],
        TEXT[: TEXT.index('"a wing')],
        TEXT[: TEXT.index("a wing")],
        str(ROBIN)[: str(ROBIN).index("a wing")],
        "{label: robin, sentence: A small, red bird}",
        "{'label': 'robin', 'sentence': 'It is",
        TEXT.replace('"sentence": "', '"sentence": "", "'),
        "{" * 5_000,
        '{"a":' * 5_000,
        '{"label": "' + "x" * 30_000,
    ],
)
def test_half_an_answer_is_not_repaired(text: str) -> None:
    assert not [repaired for repaired in repaired_objects(text) if "label" in repaired.data]


def test_a_misplaced_brace_drops_no_item() -> None:
    assert not [found for found in repaired_objects(TEXT.replace("}, {", "},}{")) if "label" in found.data]


@pytest.mark.slow
def test_a_repaired_text_is_in_the_response() -> None:
    """Faults at random places: each text of the result stands in the response, and a cut response gives no part."""
    chance = random.Random(1)
    num_repaired = 0
    for _ in range(300):
        source = chance.choice([TEXT, INDENTED, str(ROBIN)])
        at = chance.randrange(len(source))
        damaged = chance.choice(
            [source[:at] + source[at + 1 :], source[:at] + chance.choice("\",:}]'\n#") + source[at:], source[:at]]
        )
        for found in repaired_objects(damaged):
            if "phrases" not in found.data:
                continue
            num_repaired += 1
            texts = _texts(found.data)
            plain = " ".join(damaged.replace("\\", "").split())
            assert all(" ".join(text.split()) in plain for text in texts), damaged
            assert sum(map(len, texts)) >= 0.9 * sum(map(len, _texts(ROBIN))) or found.unclosed, damaged
    assert num_repaired > 50


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for item in items for text in _texts(item)]
