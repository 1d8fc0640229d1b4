"""The stand-in LLM answers every strategy from its species, single calls and batches alike."""

import asyncio
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from attributes.gates.repair_prompts import correction
from attributes.llm.batch_jobs import BatchJobs
from attributes.llm.client import LLMClient, LLMSettings
from attributes.llm.response_format import FormatFallback
from attributes.llm.results import QuestionResult
from attributes.prompts.questions import (
    NO_LABEL,
    ImageFile,
    Question,
    questions_for_image,
    questions_for_label,
    questions_for_pair,
)
from attributes.prompts.strategy import load_strategy, shipped_strategies
from attributes.types import Label
from examples.fieldguide.language import value_of
from examples.fieldguide.llm_server import serve
from examples.fieldguide.world import species, species_image

ONE, TWO = species("validation")[:2]
DOMAIN = "creatures of the field guide"


def shown(number: int) -> ImageFile:
    file = io.BytesIO()
    Image.fromarray(species_image(ONE, number, seed=0)).save(file, "PNG")
    return ImageFile(file.getvalue())


def asked(
    asks: Sequence[Question], *, faults: Sequence[Any] = (), in_batches: bool = False, **how: Any
) -> list[QuestionResult]:
    """The outcomes, in the order of the asks."""
    kept: list[QuestionResult] = []

    async def go(base_url: str) -> None:
        settings = LLMSettings(base_url=base_url, model="m", max_attempts=2)
        if in_batches:
            async with BatchJobs(settings, fallback=FormatFallback()) as batches:
                await batches.query_all(asks, on_result=kept.append, poll_s=0.01)
        else:
            async with LLMClient(settings, fallback=FormatFallback()) as enricher:
                await enricher.query_all(asks, on_result=kept.append)

    with serve(faults=faults, **how) as llm:
        asyncio.run(go(llm.base_url))
    return sorted(kept, key=lambda outcome: asks.index(outcome.question))


def all_asks() -> list[Question]:
    label = Label(ONE.name)
    asks: list[Question] = []
    for strategy in shipped_strategies():
        if strategy.about == "label":
            asks += questions_for_label(strategy, label, DOMAIN)
        elif strategy.about == "pair":
            asks += questions_for_pair(strategy, label, Label(TWO.name), DOMAIN)
        else:
            asks += questions_for_image(strategy, shown(0), label, DOMAIN)
    return asks


def test_every_strategy_is_answered_from_the_species() -> None:
    outcomes = {outcome.question.strategy.name: outcome for outcome in asked(all_asks())}
    assert set(outcomes) == {strategy.name for strategy in shipped_strategies()}
    assert all(outcome.reason is None and outcome.flags == () for outcome in outcomes.values())
    assert outcomes["sentence"].lines[0].text == ONE.sentence
    assert [line.text for line in outcomes["phrases"].lines] == [entry["phrase"] for entry in ONE.phrases]
    assert ONE.name in outcomes["questions"].lines[0].text
    assert outcomes["captions"].lines[0].text.startswith(ONE.name)


def test_both_sides_of_a_pair_are_told_truly_and_apart() -> None:
    (outcome,) = asked(questions_for_pair(load_strategy("contrast"), Label(ONE.name), Label(TWO.name), DOMAIN))
    by_name = {one.name: one.attributes for one in (ONE, TWO)}
    for label, other, lines in (
        (outcome.question.label, outcome.question.other, outcome.lines),
        (outcome.question.other, outcome.question.label, outcome.other_lines),
    ):
        assert label is not None
        assert other is not None
        assert len(lines) >= 3
        for line in lines:
            assert line.value == value_of(by_name[label.name], line.part)
            assert line.other_value == value_of(by_name[other.name], line.part)
            assert line.value != line.other_value
            assert not set(line.other_value.split()) - set(line.value.split()) & set(line.text.split()) - {"none"}


def test_samples_of_a_question_differ() -> None:
    lines = [
        outcome.lines[0] for outcome in asked(questions_for_label(load_strategy("questions"), Label(ONE.name), DOMAIN))
    ]
    assert len(lines) == 12
    assert len({line.text for line in lines}) > 8
    assert len({line.about for line in lines}) == 4


def test_each_picture_has_a_caption_of_its_own_and_one_without_a_name_is_declined() -> None:
    captions = load_strategy("captions")
    first, second, unnamed = asked(
        [
            *questions_for_image(captions, shown(0), Label(ONE.name), DOMAIN),
            *questions_for_image(captions, shown(1), Label(ONE.name), DOMAIN),
            *questions_for_image(captions, shown(2), NO_LABEL, DOMAIN),
        ]
    )
    assert first.lines[0].text != second.lines[0].text
    assert unnamed.reason == "refused"
    assert "can't see pictures" in unnamed.detail


def test_batches_answer_as_single_calls_do() -> None:
    asks = [ask for ask in all_asks() if ask.strategy.name != "questions"]
    one_by_one, together = asked(asks), asked(asks, in_batches=True)
    assert all(outcome.lines for outcome in together)
    assert [outcome.response_text for outcome in together] == [outcome.response_text for outcome in one_by_one]


def test_a_batch_expires_on_demand() -> None:
    asks = [
        ask for one in species("test")[:6] for ask in questions_for_label(load_strategy("sentence"), Label(one.name))
    ]
    outcomes = asked(asks, in_batches=True, faults=[{"fault": "expired", "times": 4}], batch_s=0.05)
    assert [outcome.reason for outcome in outcomes] == [None] * 6
    assert sum(len(outcome.calls) for outcome in outcomes) == 6
    faults = [{"fault": "status", "status": 500, "times": 1}, {"fault": "refusal", "label": species("test")[0].name}]
    outcomes = asked(asks, in_batches=True, faults=faults)
    assert [outcome.reason for outcome in outcomes] == ["refused"] + [None] * 5


def test_told_that_its_phrases_are_shared_it_gives_more_particular_ones() -> None:
    label = Label(ONE.name)
    (first,) = questions_for_label(load_strategy("phrases"), label, DOMAIN)
    again = replace(first, correction=correction({"shared": ["a round body"]}))
    before, after = ([line.text for line in outcome.lines] for outcome in asked([first, again]))
    assert all(" with " in text and len(text.split()) <= 15 for text in after)
    assert not set(before) & set(after)
    assert max(len(text.split()) for text in before) < min(len(text.split()) for text in after)
