"""Lines of a pair: swapped labels, and phrases that mention the other label."""

import pytest

from attributes.prompts.contrast import lines_for_pair
from attributes.prompts.questions import Question
from attributes.prompts.strategy import load_strategy
from attributes.types import Label
from tests.attributes.conftest import RunQuestion
from tests.attributes.fake_llm import FakeLLM, FakeResponse, completion, content_for_request

QUESTION = Question(load_strategy("contrast"), Label("robin"), "birds", other=Label("wren", "bird"))


def test_a_response_with_swapped_labels_is_swapped_back(llm: FakeLLM, run_question: RunQuestion) -> None:
    llm.script = lambda seen, _: FakeResponse(body=completion(content_for_request(seen, label="wren", other="robin")))
    result = run_question(QUESTION)
    assert {line.value for line in result.lines} == {f"otherish {i}" for i in range(3)}
    assert {line.about for line in result.lines} == {"wren (bird)"}


def difference(
    target: str, other: str, *, values: tuple[str, str] = ("short", "long"), part: str = "bill"
) -> dict[str, str]:
    return {
        "part": part,
        "target_value": values[0],
        "other_value": values[1],
        "target_phrase": target,
        "other_phrase": other,
    }


@pytest.mark.parametrize(
    ("item", "is_kept", "other_is_kept"),
    [
        (difference("a short bill", "a long bill"), True, True),
        (difference("a bill shorter than usual", "a long bill"), False, True),
        (difference("a short rather than long bill", "a long bill"), False, True),
        (difference("a short bill", "a long bill, not short"), True, False),
        (difference("a short bill unlike the wren", "a long bill"), False, True),
        (difference("a short wren bill", "a robin's long bill"), False, True),
        (difference("a short bill", "a long robin bill"), True, False),
        (difference("an orange bill", "an orange bill"), False, False),
        (difference("a short bill", "a long bill", values=("medium", "Medium")), False, False),
        (difference("two wing bars", "plain wings", values=("two bars", "no bars"), part="wing"), True, True),
    ],
)
def test_phrases_that_mention_the_other_label_are_left_out(
    item: dict[str, str], is_kept: bool, other_is_kept: bool, llm: FakeLLM, run_question: RunQuestion
) -> None:
    valid = [
        difference(f"a red mark {i}", f"a green mark {i}", values=(f"red {i}", f"green {i}"), part=f"p {i}")
        for i in range(3)
    ]
    llm.script = lambda seen, _: FakeResponse(body=completion(content_for_request(seen, differences=[*valid, item])))
    result = run_question(QUESTION)
    assert len(result.lines) == 3 + is_kept
    assert len(result.other_lines) == 3 + other_is_kept
    is_flagged = not (is_kept and other_is_kept)
    assert ("leaking_difference" in result.flags or "no_difference" in result.flags) == is_flagged
    assert llm.num_calls == 1 + is_flagged  # a flagged response is requested once more


def test_a_response_without_valid_phrases_fails(llm: FakeLLM, run_question: RunQuestion) -> None:
    leak = difference("shorter than the wren's", "longer than the robin's")
    llm.script = lambda seen, _: FakeResponse(body=completion(content_for_request(seen, differences=[leak] * 3)))
    result = run_question(QUESTION, max_attempts=2)
    assert (result.reason, result.lines) == ("invalid_answer", ())
    assert "no phrase says of one class alone" in result.detail
    assert "wren" not in llm.requests[1].prompt.partition("In the last answer")[2]


@pytest.mark.parametrize(
    ("language", "target", "other", "values", "is_kept"),
    [
        # "eine" is a function word that an English list does not have.
        ("German", "eine weiße Brust", "eine schwarze Brust", ("eine weiße Brust", "eine schwarze Brust"), True),
        ("de", "eine Brust, nicht schwarz", "eine schwarze Brust", ("weiß", "schwarz"), False),
        ("German", "ein Schnabel wie beim wren", "ein langer Schnabel", ("kurz", "lang"), False),
        ("Japanese", "短いくちばし", "長いくちばし", ("短い", "長い"), True),
        ("ja", "長いではなく短いくちばし", "長いくちばし", ("短い", "長い"), False),
        ("en-GB", "a bill shorter than usual", "a long bill", ("short", "long"), False),
    ],
)
def test_in_other_languages_a_phrase_leaks_if_it_has_the_whole_value(
    language: str, target: str, other: str, values: tuple[str, str], is_kept: bool
) -> None:
    item = difference(target, other, values=values, part="part")
    pair = (Label("robin"), Label("wren", "bird"))
    parsed = lines_for_pair([item], pair, swapped=False, strategy="contrast@1", language=language)
    assert [line.text for line in parsed.lines] == ([target] if is_kept else [])
    assert [line.text for line in parsed.other_lines] == [other]
    assert parsed.flags == (() if is_kept else ("leaking_difference",))
