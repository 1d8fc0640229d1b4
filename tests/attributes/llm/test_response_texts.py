"""Texts as servers send them, through the client: one paid call is enough."""

import json

import pytest

from attributes.types import Label
from tests.attributes.conftest import RunQuestion
from tests.attributes.fake_llm import FakeLLM, FakeResponse, completion, content_for_label

ROBIN = content_for_label("robin")
TEXT = json.dumps(ROBIN)
DRAFT = json.dumps(content_for_label("robin", sentence="A draft."))


def quirk(server: str, behaviour: str, handling: str, text: str) -> object:
    return pytest.param(text, id=behaviour, marks=pytest.mark.quirk(server, behaviour, handling))


PROSE = "models without structured output"
REPAIRED = "the JSON is repaired, validated and counted; no second call"
UNWRAPPED = "the object inside is read, validated and counted; no second call"
THINKING = "drafts in the thinking are not read; the answer is"


@pytest.mark.parametrize(
    "text",
    [
        quirk("DeepSeek-R1, QwQ", "thinking that has only its closing tag", THINKING, f"Hm, {DRAFT}\n</think>\n{TEXT}"),
        quirk("Qwen3, vLLM", "thinking between tags in the text", THINKING, f"<think>\n{DRAFT}\n</think>\n\n{TEXT}"),
        quirk("Magistral", "thinking between [THINK] and [/THINK]", THINKING, f"[THINK]{DRAFT}[/THINK]{TEXT}"),
        quirk("Kimi-VL", "thinking between ◁think▷ and ◁/think▷", THINKING, f"◁think▷{DRAFT}◁/think▷{TEXT}"),
        quirk("Seed-OSS", "thinking between <seed:think> tags", THINKING, f"<seed:think>{DRAFT}</seed:think>{TEXT}"),
        quirk(
            "gpt-oss (MLX, Ollama)",
            "Harmony channels in the text",
            THINKING,
            f"<|channel|>analysis<|message|>{DRAFT}<|end|><|start|>assistant<|channel|>final<|message|>{TEXT}",
        ),
        quirk(
            "gpt-oss (MLX)",
            "Harmony channels without their special tokens",
            THINKING,
            f"analysisWe need JSON. {DRAFT}assistantfinal{TEXT}",
        ),
        quirk(
            "Gemma, Gemini",
            "JSON in a code fence, between sentences",
            "the JSON is found in the text",
            f"Here is the JSON:\n```json\n{json.dumps(ROBIN, indent=2)}\n```\nLet me know!",
        ),
        quirk(PROSE, "a trailing comma", REPAIRED, TEXT[:-1] + ",}"),
        quirk(PROSE, "a Python dict", REPAIRED, str(ROBIN | {"done": True})),
        quirk(PROSE, "comments in the JSON", REPAIRED, TEXT.replace('"phrases"', '// 5 to 8\n"phrases"')),
        quirk(PROSE, "the last brace is missing", REPAIRED, TEXT[:-1]),
        quirk(PROSE, "quotes inside of a text", REPAIRED, TEXT.replace("round and", 'round, "oval" and')),
        quirk(
            "GLM-4", "Chinese punctuation in the JSON", REPAIRED, TEXT.replace('": "', '"："').replace('", "', '"，"')
        ),
        quirk(PROSE, "JSON in a JSON string", UNWRAPPED, json.dumps(TEXT)),
        quirk("servers that begin the answer with `{`", "the first brace is missing", REPAIRED, TEXT[1:]),
        quirk(PROSE, "the answer in an envelope", UNWRAPPED, json.dumps({"answer": ROBIN})),
        quirk(
            "models trained to call functions",
            "the answer as arguments of a function call",
            UNWRAPPED,
            f"<tool_call>{json.dumps({'name': 'describe', 'arguments': TEXT})}</tool_call>",
        ),
    ],
)
def test_a_text_that_a_person_can_read_needs_one_call(text: str, llm: FakeLLM, run_question: RunQuestion) -> None:
    llm.script = lambda seen, _: FakeResponse(body=completion(text))
    result = run_question()
    assert result.reason is None
    assert llm.num_calls == 1
    assert {line.text for line in result.lines}.isdisjoint({"A draft."})
    assert [line.text for line in result.lines if line.kind == "phrase"] == [
        phrase["phrase"] for phrase in ROBIN["phrases"]
    ]


@pytest.mark.parametrize(
    ("label", "echo"),
    [
        pytest.param(
            Label("Artic Tern"),
            "Arctic Tern",
            marks=pytest.mark.quirk("every model", "a typo of the label is corrected", "it is the same label"),
        ),
        pytest.param(
            Label("tench, Tinca tinca"),
            "Tench",
            marks=pytest.mark.quirk("every model", "one of the label's synonyms is repeated", "it is the same label"),
        ),
        pytest.param(
            Label("Albatross, Laysan"),
            "Laysan Albatross",
            marks=pytest.mark.quirk("every model", "the label in its usual word order", "it is the same label"),
        ),
        pytest.param(
            Label("crane", "bird"),
            '{"label": "crane", "sense": "bird", "domain": "birds"}',
            marks=pytest.mark.quirk("small models", "the whole subject in place of the label", "the label is read"),
        ),
    ],
)
def test_a_label_in_another_spelling_needs_one_call(
    label: Label, echo: str, llm: FakeLLM, run_question: RunQuestion
) -> None:
    llm.script = lambda seen, _: FakeResponse(body=completion(content_for_label(echo, sentence="It is red.")))
    assert run_question(label).reason is None
    assert llm.num_calls == 1


@pytest.mark.quirk(
    "every model", "the label of another thing is repeated", "the label is `wrong_label`; nothing is stored"
)
def test_a_label_that_is_another_thing_is_refused(llm: FakeLLM, run_question: RunQuestion) -> None:
    llm.script = lambda seen, _: FakeResponse(body=completion(content_for_label("eastern gull")))
    result = run_question("western gull", max_attempts=2)
    assert (result.reason, result.lines) == ("wrong_label", ())
