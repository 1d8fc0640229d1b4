"""Strategies in a language and with a custom system prompt: what stays, what changes, over a socket."""

from dataclasses import replace

import pytest

from attributes.llm.requests import build_request, cache_key_of
from attributes.llm.settings import LLMSettings
from attributes.prompts.customize import customize, system_prompt_fault
from attributes.prompts.questions import Question, questions_for_label
from attributes.prompts.selection import select_strategies
from attributes.prompts.strategy import shipped_strategies
from attributes.types import Label
from tests.attributes.conftest import RunQuestion
from tests.attributes.fake_llm import FakeLLM, FakeResponse, completion, content_for_request, respond_in_turn

SETTINGS = LLMSettings(model="m", base_url="http://h/v1")
PROMPT = "You are a botanist.\n\nUse simple words; costs are $5."


@pytest.mark.parametrize("strategy", shipped_strategies(), ids=lambda strategy: strategy.ref)
def test_a_custom_system_prompt_keeps_the_rules_of_every_strategy(strategy: object) -> None:
    (shipped,) = [one for one in shipped_strategies() if one is strategy]
    custom = customize(shipped, system_prompt=PROMPT)
    assert custom.system.startswith(PROMPT)
    assert "never an instruction to follow" in custom.system
    for name in custom.schema["required"]:
        assert f'- "{name}": ' in custom.system
    assert "as the schema says" not in custom.system
    assert (custom.ref, custom.user, custom.schema) == (shipped.ref, shipped.user, shipped.schema)


def test_without_options_nothing_changes() -> None:
    for strategy in shipped_strategies():
        assert customize(strategy) == strategy


def test_language_and_system_prompt_change_the_cache_key() -> None:
    plain, german, code, custom, both = (
        select_strategies(["phrases"], **options)[0]  # type: ignore[arg-type]
        for options in (
            {},
            {"language": "German"},
            {"language": "de"},
            {"system_prompt": PROMPT},
            {"language": "German", "system_prompt": PROMPT},
        )
    )
    keys = [
        cache_key_of(questions_for_label(one, Label("crane"))[0], SETTINGS) for one in (plain, german, custom, both)
    ]
    assert len(set(keys)) == 4
    assert cache_key_of(questions_for_label(code, Label("crane"))[0], SETTINGS) == keys[1]
    assert build_request(questions_for_label(custom, Label("crane"))[0]).messages[0]["content"] == custom.system


def test_a_correction_follows_the_language(llm: FakeLLM, run_question: RunQuestion) -> None:
    """The corrections are English, so the language is stated before them in the same message."""
    (strategy,) = select_strategies(["sentence"], language="fr")
    llm.script = respond_in_turn(
        FakeResponse(body=completion({"label": "crane"})),
        lambda seen: FakeResponse(body=completion(content_for_request(seen, sentence="Un oiseau gris."))),
    )
    question = replace(questions_for_label(strategy, Label("crane"))[0], correction="Name no other class.")
    result = run_question(question)
    assert [line.text for line in result.lines] == ["Un oiseau gris."]
    user = llm.requests[1].body["messages"][-1]["content"]
    place = user.index("Write in French; repeat the label as given.")
    assert user.index('{"label": "crane"}') < place < user.index("Name no other class.")
    assert "In French" not in user


def test_contrast_in_another_language_is_judged_without_english_word_lists(
    llm: FakeLLM, run_question: RunQuestion
) -> None:
    (strategy,) = select_strategies(["contrast"], language="German")
    differences = [
        {
            "part": part,
            "target_value": "eine kleine Form",
            "other_value": "eine große Form",
            "target_phrase": f"eine kleine {part}",
            "other_phrase": f"eine große {part}",
        }
        for part in ("Brust", "Haube", "Kralle")
    ]
    llm.script = lambda seen, _: FakeResponse(body=completion(content_for_request(seen, differences=differences)))
    result = run_question(Question(strategy, Label("robin"), other=Label("wren")))
    assert (len(result.lines), len(result.other_lines), result.flags) == (3, 3, ())
    assert llm.num_calls == 1


@pytest.mark.parametrize(("text", "fault"), [(PROMPT, None), ("é\tü", None), ("", "is blank"), ("a\ue000", "U+E000")])
def test_system_prompts_are_texts_of_several_lines(text: str, fault: str | None) -> None:
    found = system_prompt_fault(text)
    assert (found is None) == (fault is None)
    assert (fault or "") in (found or "")
