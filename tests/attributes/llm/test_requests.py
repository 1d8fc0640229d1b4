"""Chat requests of questions, and their cache keys."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attributes.llm.model_profile import ModelProfile
from attributes.llm.requests import build_request, cache_key_of
from attributes.llm.response_format import build_body
from attributes.llm.settings import LLMSettings
from attributes.prompts.questions import (
    ImageFile,
    Question,
    questions_for_image,
    questions_for_label,
    questions_for_pair,
)
from attributes.prompts.strategy import Strategy, load_strategy
from attributes.types import Label
from tests.attributes.custom_strategies import PNG, custom_strategy

CRANE = Label("crane", "a bird")
SETTINGS = LLMSettings(model="m", base_url="http://h/v1")


@pytest.fixture
def pairs(tmp_path: Path) -> Strategy:
    return custom_strategy(tmp_path, about="pair")


@pytest.fixture
def images(tmp_path: Path) -> Strategy:
    return custom_strategy(tmp_path, about="image")


def subject_of(question: Question) -> dict[str, str]:
    content = build_request(question).messages[1]["content"]
    text = content if isinstance(content, str) else content[0]["text"]
    subject: dict[str, str] = json.loads(text.splitlines()[-1])
    return subject


def test_label_sense_and_domain_are_in_every_prompt(pairs: Strategy, images: Strategy) -> None:
    subject = {"label": "crane", "sense": "a bird", "domain": "birds"}
    assert subject_of(Question(load_strategy(), CRANE, "birds")) == subject
    assert subject_of(Question(images, CRANE, "birds", image=ImageFile(PNG))) == subject
    assert subject_of(Question(pairs, CRANE, "birds", other=Label("heron", "grey"))) == subject | {
        "other": "heron",
        "other_sense": "grey",
    }
    for question in (Question(load_strategy(), CRANE), Question(pairs, CRANE, other=Label("heron"))):
        assert "crane" not in build_request(question).messages[0]["content"]


def test_long_texts_are_capped_in_the_prompt() -> None:
    subject = subject_of(Question(load_strategy(), Label("x" * 10_000, "y" * 10_000), "z" * 10_000))
    assert {key: len(value) for key, value in subject.items()} == {"label": 200, "sense": 500, "domain": 200}


def test_the_cache_key_covers_everything_that_shapes_the_response(
    images: Strategy, pairs: Strategy, tmp_path: Path
) -> None:
    strategy = load_strategy()
    question = Question(strategy, CRANE, "birds")
    key = cache_key_of(question, SETTINGS)
    assert key == cache_key_of(Question(strategy, CRANE, "birds"), SETTINGS)
    assert key == cache_key_of(
        question, SETTINGS.model_copy(update={"timeout_s": 5.0, "concurrency": 1, "max_attempts": 9})
    )
    with_questions = custom_strategy(tmp_path / "with_questions", questions=["What colour is it?", "What shape is it?"])
    variants = [
        replace(question, label=Label("crane", "a machine")),
        replace(question, label=Label("crane")),
        replace(question, domain="things"),
        replace(question, sample=1),
        replace(question, correction="Give five phrases."),
        replace(question, strategy=replace(strategy, user="Say: $subject")),
        replace(question, strategy=replace(strategy, system="Say.")),
        replace(question, strategy=replace(strategy, version=2)),
        replace(question, strategy=replace(strategy, temperature=0.5)),
        replace(question, strategy=replace(strategy, max_tokens=50)),
        replace(question, strategy=replace(strategy, schema={**strategy.schema, "title": "x"})),
        *questions_for_label(with_questions, CRANE, "birds"),
        *questions_for_pair(pairs, CRANE, Label("heron"), "birds"),
        *questions_for_pair(pairs, CRANE, Label("heron", "grey"), "birds"),
        *questions_for_image(images, ImageFile(PNG), CRANE, "birds"),
        *questions_for_image(images, ImageFile(PNG + b"another"), CRANE, "birds"),
    ]
    changes: list[dict[str, Any]] = [
        {"model": "n"},
        {"base_url": "http://other/v1"},
        {"temperature": 0.7},
        {"max_tokens": 800},
    ]
    keys = [cache_key_of(variant, SETTINGS) for variant in variants] + [
        cache_key_of(question, SETTINGS.model_copy(update=change)) for change in changes
    ]
    assert len({key, *keys}) == len(variants) + len(changes) + 1


def test_sampling_of_the_strategy_overrides_the_settings(tmp_path: Path) -> None:
    (question,) = questions_for_label(custom_strategy(tmp_path, temperature=0.9, max_tokens=64), CRANE)
    assert cache_key_of(question, SETTINGS) == cache_key_of(
        question, SETTINGS.model_copy(update={"temperature": 0.3, "max_tokens": 999})
    )


def test_the_text_of_a_question_is_in_the_prompt(tmp_path: Path) -> None:
    strategy = custom_strategy(tmp_path, questions=["What colour is it?", "What shape is it?"])
    question = questions_for_label(strategy, CRANE)[1]
    assert "What shape is it?" in build_request(question).messages[1]["content"]


def test_a_pair_has_the_same_key_in_either_order(pairs: Strategy) -> None:
    one, other = Label("wren", "brown"), Label("Robin")
    question = Question(pairs, one, "birds", other=other)
    assert cache_key_of(question, SETTINGS) == cache_key_of(Question(pairs, other, "birds", other=one), SETTINGS)


def test_an_image_is_sent_as_a_data_url_and_stored_as_a_digest(images: Strategy) -> None:
    image = ImageFile(PNG)
    request = build_request(Question(images, CRANE, image=image, correction="Be short.")).with_paragraph("And true.")
    stored = request.messages[1]["content"]
    assert stored[1]["image_url"]["url"] == f"sha256:{image.digest}"
    assert stored[0]["text"].endswith("Be short.\n\nAnd true.")
    body = build_body(request, ModelProfile(level="prose"), LLMSettings(model="m"), temperature=0, max_tokens=9)
    text, image_part = body["messages"][1]["content"]
    assert "JSON Schema" in text["text"]
    scheme, _, data = image_part["image_url"]["url"].partition(",")
    assert (scheme, base64.b64decode(data)) == ("data:image/png;base64", PNG)
