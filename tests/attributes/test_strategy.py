"""Strategies as files, the requests they make, and the key of a call."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attributes.strategy import STRATEGY_FOLDER, Limits, StrategyError, cache_key, load_strategy, request_for, shipped
from attributes.types import Label

CRANE = Label("crane", "a bird")
DESCRIBE_1 = "a62fa414ccd3370f567a683e320fe2e0ac6ba23f33a786aef667063d03c73385"
HOW: dict[str, Any] = {"model": "m", "base_url": "http://h/v1", "temperature": 0, "max_tokens": 700}


def test_describe_asks_for_a_sentence_and_five_to_eight_phrases() -> None:
    strategy = load_strategy("describe")
    assert strategy.ref == "describe@1"
    assert strategy.wants == {"sentence", "phrases"}
    assert strategy.limits == Limits(sentence_words=60, phrase_words=15, min_phrases=5, max_phrases=8)
    phrases = strategy.schema["properties"]["phrases"]
    assert (phrases["minItems"], phrases["maxItems"]) == (5, 8)
    assert set(phrases["items"]["required"]) == {"part", "value", "phrase"}


@pytest.mark.parametrize("strategy", shipped(), ids=lambda strategy: strategy.ref)
def test_shipped_schemas_keep_to_what_strict_output_takes(strategy: Any) -> None:
    def objects(schema: Any) -> list[dict[str, Any]]:
        if isinstance(schema, list):
            return [one for part in schema for one in objects(part)]
        if not isinstance(schema, dict):
            return []
        return [schema] * (schema.get("type") == "object") + objects(list(schema.values()))

    for schema in objects(strategy.schema):
        assert schema["additionalProperties"] is False
        assert set(schema["required"]) == set(schema["properties"])
    assert "maxLength" not in json.dumps(strategy.schema)
    assert "json" in strategy.system.casefold()  # some servers ask for the word before they promise JSON


def test_a_shipped_prompt_changes_only_with_its_version() -> None:
    # A new digest without a new version would let old answers pass for answers to the new prompt.
    known = {"describe@1": DESCRIBE_1}
    assert {strategy.ref: strategy.digest for strategy in shipped()} == known


def test_label_sense_and_domain_are_in_every_prompt() -> None:
    request = request_for(load_strategy(), CRANE, "birds")
    assert json.loads(request.messages[1]["content"].splitlines()[-1]) == {
        "label": "crane", "sense": "a bird", "domain": "birds",
    }  # fmt: skip
    assert "crane" not in request.messages[0]["content"]


def test_over_long_text_is_capped_in_the_prompt() -> None:
    request = request_for(load_strategy(), Label("x" * 10_000, "y" * 10_000), "z" * 10_000)
    subject = json.loads(request.messages[1]["content"].splitlines()[-1])
    assert {key: len(value) for key, value in subject.items()} == {"label": 200, "sense": 500, "domain": 200}


def test_the_key_covers_everything_that_shapes_the_answer() -> None:
    strategy = load_strategy()
    request = request_for(strategy, CRANE, "birds")
    key = cache_key(request, **HOW)
    assert key == cache_key(request_for(strategy, CRANE, "birds"), **HOW)
    assert key == cache_key(request, **HOW | {"base_url": "http://h/v1/", "temperature": 0.0})
    others = [
        cache_key(request_for(strategy, Label("crane", "a machine"), "birds"), **HOW),
        cache_key(request_for(strategy, Label("crane"), "birds"), **HOW),
        cache_key(request_for(strategy, CRANE, "things"), **HOW),
        cache_key(request_for(replace(strategy, user="Say: $subject"), CRANE, "birds"), **HOW),
        cache_key(request_for(replace(strategy, version=2), CRANE, "birds"), **HOW),
        cache_key(replace(request, schema={"type": "object"}), **HOW),
        cache_key(request, **HOW | {"model": "n"}),
        cache_key(request, **HOW | {"base_url": "http://other/v1"}),
        cache_key(request, **HOW | {"temperature": 0.7}),
        cache_key(request, **HOW | {"max_tokens": 800}),
        cache_key(request, **HOW, sample=1),
    ]
    assert len({key, *others}) == len(others) + 1


def user_file(folder: Path, old: str = "", new: str = "") -> Path:
    text = (STRATEGY_FOLDER / "describe.toml").read_text(encoding="utf-8")
    assert old in text
    path = folder / "mine.toml"
    path.write_text(text.replace(old, new, 1) if old else text, encoding="utf-8")
    return path


def test_a_file_of_the_users_own_is_a_strategy(tmp_path: Path) -> None:
    strategy = load_strategy(user_file(tmp_path, 'name = "describe"', 'name = "mine"'))
    assert strategy.ref == "mine@1"
    assert load_strategy(str(tmp_path / "mine.toml")) == strategy


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("version = 1", 'version = "1"', "'version' must be given as int"),
        ("about = ", "abuot = ", "'abuot' is not a field"),
        ("$subject", "it", "must hold $subject"),
        ("[limits]", "[limits]\nmost = 3", "'limits' may give"),
        ("min_phrases = 5", "min_phrases = -5", "'limits' must be whole numbers"),
        ('type = "object"', 'type = "thing"', "is no JSON Schema"),
        ('required = ["label", "sentence", "phrases"]', 'required = ["sentence"]', "requires 'label'"),
        ('[schema.properties.label]\ntype = "string"', '[schema.properties.label]\ntype = "array"', "of type string"),
        ('phrase = { type = "string" }', 'phrase = { type = "number" }', "of type string"),
        ("name", "=", "cannot be read"),
    ],
)
def test_a_faulty_file_is_refused_by_name(old: str, new: str, said: str, tmp_path: Path) -> None:
    path = user_file(tmp_path, old, new)
    with pytest.raises(StrategyError) as caught:
        load_strategy(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("ref", ["describe@99", "invent", "missing.toml"])
def test_an_unknown_strategy_is_refused(ref: str) -> None:
    with pytest.raises(StrategyError, match=ref.partition("@")[0]):
        load_strategy(ref)
