"""Thinking in the text of a response: the marks of model families, and thinking that has no start or no end."""

import pytest

from attributes.parsing.thinking import without_thinking

ANSWER = '{"label": "robin"}'
DRAFT = 'Perhaps {"label": "a draft"}?'


@pytest.mark.parametrize(
    "text",
    [
        ANSWER,
        f"<think>{DRAFT}</think>{ANSWER}",
        f"<THINK>\n{DRAFT}\n</THINK>\n\n{ANSWER}",
        f"<thinking>{DRAFT}</thinking>{ANSWER}",
        f'<reasoning effort="high">{DRAFT}</reasoning>{ANSWER}',
        f"<thought>{DRAFT}</thought>{ANSWER}",
        f"<seed:think>{DRAFT}<seed:cot_budget_reflect>left</seed:cot_budget_reflect></seed:think>{ANSWER}",
        f"[THINK]{DRAFT}[/THINK]{ANSWER}",
        f"◁think▷{DRAFT}◁/think▷{ANSWER}",
        f"<|begin_of_thought|>{DRAFT}<|end_of_thought|>{ANSWER}",
        f"<|START_THINKING|>{DRAFT}<|END_THINKING|>{ANSWER}",
        f"<|channel>thought\n{DRAFT}<channel|>{ANSWER}",
        f"{DRAFT}</think>{ANSWER}",
        f"{DRAFT}◁/think▷{ANSWER}",
        f"{DRAFT}[/THINK]{ANSWER}",
        f"<think>It says <think> and <reasoning> here. {DRAFT}</think> More. {DRAFT}</think>{ANSWER}",
        f"<think>One.</think>{DRAFT}<think>Two.</think></think>{ANSWER}",
        f"<|channel|>analysis<|message|>{DRAFT}<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}<|return|>",
        f"analysis<|message|>{DRAFT}<|end|><|start|>assistant<|channel|>final <|constrain|>JSON<|message|>{ANSWER}",
        f"<|channel|>commentary to=functions.describe <|constrain|>json<|message|>{ANSWER}<|call|>",
        f"<|start|>assistant<|channel|>final<|message|>{DRAFT}<|end|><|channel|>final<|message|>{ANSWER}",
        f"analysisThe label is robin. {DRAFT}assistantfinal{ANSWER}",
        f"analysisThe label is robin. {DRAFT}final{ANSWER}",
        f"Here is my thought process: {DRAFT}\nHere is my response: {ANSWER}",
        f"Here are my reasoning steps:\n{DRAFT}\n[BEGIN FINAL RESPONSE]{ANSWER}",
    ],
)
def test_only_the_answer_is_left(text: str) -> None:
    answer, in_thinking = without_thinking(text)
    assert answer.strip() == ANSWER
    assert not in_thinking


@pytest.mark.parametrize(
    "text",
    [
        f"<think>{DRAFT}",
        f"<think>One.</think><think>{DRAFT}",
        f"<thinking>{DRAFT}</think>",
        f"[THINK]{DRAFT}",
        f"<|channel|>analysis<|message|>{DRAFT}",
        f"analysisThe label is robin. {DRAFT}",
        f"Here is my thought process: {DRAFT}",
    ],
)
def test_thinking_without_an_end_leaves_nothing(text: str) -> None:
    assert without_thinking(text) == ("", True)


def test_words_about_thinking_are_no_marks() -> None:
    text = f"analysis of {ANSWER} <b>think</b> [think]"
    assert without_thinking(text) == (text.replace("[think]", ""), True)
    assert without_thinking(f"The thinking: {ANSWER}") == (f"The thinking: {ANSWER}", False)
