"""The stand-in LLM responds to every strategy with the attributes of the species, in single calls and batches."""

import asyncio
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from attributes.gates.repair_prompts import correction
from attributes.llm.batches.batch_jobs import BatchJobs
from attributes.llm.client import LLMClient, LLMSettings
from attributes.llm.model_profile import LearnedProfiles
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


def image_file(number: int) -> ImageFile:
    file = io.BytesIO()
    Image.fromarray(species_image(ONE, number, seed=0)).save(file, "PNG")
    return ImageFile(file.getvalue())


def run(
    questions: Sequence[Question], *, faults: Sequence[Any] = (), in_batches: bool = False, **how: Any
) -> list[QuestionResult]:
    """The results, in the order of the questions."""
    results: list[QuestionResult] = []

    async def send(base_url: str) -> None:
        settings = LLMSettings(base_url=base_url, model="m", max_attempts=2)
        if in_batches:
            async with BatchJobs(settings, profiles=LearnedProfiles()) as batches:
                await batches.query_all(questions, on_result=results.append, poll_s=0.01)
        else:
            async with LLMClient(settings, profiles=LearnedProfiles()) as client:
                await client.query_all(questions, on_result=results.append)

    with serve(faults=faults, **how) as llm:
        asyncio.run(send(llm.base_url))
    return sorted(results, key=lambda result: questions.index(result.question))


def all_questions() -> list[Question]:
    label = Label(ONE.name)
    questions: list[Question] = []
    for strategy in shipped_strategies():
        if strategy.about == "label":
            questions += questions_for_label(strategy, label, DOMAIN)
        elif strategy.about == "pair":
            questions += questions_for_pair(strategy, label, Label(TWO.name), DOMAIN)
        else:
            questions += questions_for_image(strategy, image_file(0), label, DOMAIN)
    return questions


def test_every_strategy_gets_the_attributes_of_the_species() -> None:
    results = {result.question.strategy.name: result for result in run(all_questions())}
    assert set(results) == {strategy.name for strategy in shipped_strategies()}
    assert all(result.reason is None and result.flags == () for result in results.values())
    assert results["sentence"].lines[0].text == ONE.sentence
    assert [line.text for line in results["phrases"].lines] == [entry["phrase"] for entry in ONE.phrases]
    assert ONE.name in results["questions"].lines[0].text
    assert results["captions"].lines[0].text.startswith(ONE.name)
    lookalikes = [line.text for line in results["outliers"].lines]
    assert len(lookalikes) >= 3
    assert all(text.startswith(ONE.name.split()[-1].lower()) and text != ONE.name for text in lookalikes)


def test_the_lines_of_both_sides_of_a_pair_are_true_and_different() -> None:
    (result,) = run(questions_for_pair(load_strategy("contrast"), Label(ONE.name), Label(TWO.name), DOMAIN))
    by_name = {one.name: one.attributes for one in (ONE, TWO)}
    for label, other, lines in (
        (result.question.label, result.question.other, result.lines),
        (result.question.other, result.question.label, result.other_lines),
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
        result.lines[0] for result in run(questions_for_label(load_strategy("questions"), Label(ONE.name), DOMAIN))
    ]
    assert len(lines) == 12
    assert len({line.text for line in lines}) > 8
    assert len({line.about for line in lines}) == 4


def test_captions_differ_between_images_and_need_a_name() -> None:
    captions = load_strategy("captions")
    first, second, unnamed = run(
        [
            *questions_for_image(captions, image_file(0), Label(ONE.name), DOMAIN),
            *questions_for_image(captions, image_file(1), Label(ONE.name), DOMAIN),
            *questions_for_image(captions, image_file(2), NO_LABEL, DOMAIN),
        ]
    )
    assert first.lines[0].text != second.lines[0].text
    assert unnamed.reason == "refused"
    assert "can't see pictures" in unnamed.detail


def test_batches_and_single_calls_get_equal_responses() -> None:
    questions = [one for one in all_questions() if one.strategy.name != "questions"]
    one_by_one, together = run(questions), run(questions, in_batches=True)
    assert all(result.lines for result in together)
    assert [result.response_text for result in together] == [result.response_text for result in one_by_one]


def test_a_batch_expires_by_a_fault_rule() -> None:
    questions = [
        question
        for member in species("test")[:6]
        for question in questions_for_label(load_strategy("sentence"), Label(member.name))
    ]
    results = run(questions, in_batches=True, faults=[{"fault": "expired", "times": 4}], batch_s=0.05)
    assert [result.reason for result in results] == [None] * 6
    assert sum(len(result.calls) for result in results) == 6
    faults = [{"fault": "status", "status": 500, "times": 1}, {"fault": "refusal", "label": species("test")[0].name}]
    results = run(questions, in_batches=True, faults=faults)
    assert [result.reason for result in results] == ["refused"] + [None] * 5


def test_a_repair_prompt_for_shared_phrases_gets_longer_phrases() -> None:
    label = Label(ONE.name)
    (first,) = questions_for_label(load_strategy("phrases"), label, DOMAIN)
    again = replace(first, correction=correction({"shared": ["a round body"]}))
    before, after = ([line.text for line in result.lines] for result in run([first, again]))
    assert all(" with " in text and len(text.split()) <= 15 for text in after)
    assert not set(before) & set(after)
    assert max(len(text.split()) for text in before) < min(len(text.split()) for text in after)
