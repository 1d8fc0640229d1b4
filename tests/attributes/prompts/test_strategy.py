"""Strategy files: shipped ones, and ones in a folder of the user."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from attributes.prompts.strategy import (
    STRATEGY_FOLDER,
    Limits,
    Strategy,
    StrategyError,
    available_strategies,
    load_strategy,
    shipped_strategies,
)
from tests.attributes.custom_strategies import custom_strategy, strategy_text

DIGESTS = {
    "captions@1": "00988b6b1cf0123ecdce98756c79c80bb6977f84861640c8b198477e8cead27e",
    "contrast@1": "becca2010e2d87040b8ede53796463d1f6f6403484a226e60016c1689d140c3e",
    "describe@1": "41449c2bfec6b165af153a6ad6204c2f0de5abb5eabb7f13ba9c3017b20c0ad7",
    "outliers@1": "bfb09f347af5da15336be155139a6fab121c6bedff5b712963de000a015ffed5",
    "phrases@1": "9ada660b46a5a9112fc1b6d65c670c4d7339551c0a8eb190f7f7b9387ce3b171",
    "questions@1": "6cd35cab6a3498c482be47cc393c2da393578cebe23aaa9f672719699d153e14",
    "sentence@1": "e8fbf2d1bbea9578ecf6b9cd9317f28e2005b544b5d42316b891d8a1ffcb209c",
}


def test_describe_requires_a_sentence_and_five_to_eight_phrases() -> None:
    strategy = load_strategy("describe")
    assert strategy.ref == "describe@1"
    assert strategy.response_fields == {"sentence", "phrases"}
    assert strategy.limits == Limits(sentence_words=60, phrase_words=15, min_phrases=5, max_phrases=8)
    phrases = strategy.schema["properties"]["phrases"]
    assert (phrases["minItems"], phrases["maxItems"]) == (5, 8)
    assert set(phrases["items"]["required"]) == {"part", "value", "phrase"}


def test_response_fields_of_the_shipped_strategies() -> None:
    found = {strategy.name: (strategy.about, set(strategy.response_fields)) for strategy in shipped_strategies()}
    assert found == {
        "captions": ("image", {"caption"}),
        "contrast": ("pair", {"differences"}),
        "describe": ("label", {"sentence", "phrases"}),
        "outliers": ("label", {"phrases"}),
        "phrases": ("label", {"phrases"}),
        "questions": ("label", {"answer"}),
        "sentence": ("label", {"sentence"}),
    }
    questions = load_strategy("questions")
    assert len(questions.questions) > 1
    assert questions.samples > 1
    assert questions.temperature


@pytest.mark.parametrize("strategy", shipped_strategies(), ids=lambda strategy: strategy.ref)
def test_shipped_schemas_are_valid_for_strict_structured_output(strategy: Strategy) -> None:
    def object_schemas(schema: Any) -> list[dict[str, Any]]:
        if isinstance(schema, list):
            return [one for part in schema for one in object_schemas(part)]
        if not isinstance(schema, dict):
            return []
        return [schema] * (schema.get("type") == "object") + object_schemas(list(schema.values()))

    for schema in object_schemas(strategy.schema):
        assert schema["additionalProperties"] is False
        assert set(schema["required"]) == set(schema["properties"])
    assert "maxLength" not in json.dumps(strategy.schema)
    assert "json" in strategy.system.casefold()  # some servers require the word for JSON mode


def test_a_shipped_strategy_changes_only_with_its_version() -> None:
    # A new digest without a new version would let responses to the old prompt pass for responses to the new one.
    assert {strategy.ref: strategy.digest for strategy in shipped_strategies()} == DIGESTS


def edited_copy(folder: Path, old: str = "", new: str = "") -> Path:
    """A copy of describe.toml with the first `old` replaced by `new`."""
    text = (STRATEGY_FOLDER / "describe.toml").read_text(encoding="utf-8")
    assert old in text
    path = folder / "mine.toml"
    path.write_text(text.replace(old, new, 1) if old else text, encoding="utf-8")
    return path


def test_a_strategy_can_be_loaded_from_a_file(tmp_path: Path) -> None:
    strategy = load_strategy(edited_copy(tmp_path, 'name = "describe"', 'name = "mine"'))
    assert strategy.ref == "mine@1"
    assert load_strategy(str(tmp_path / "mine.toml")) == strategy


@pytest.mark.parametrize(
    ("old", "new", "line_start", "message"),
    [
        ("version = 1", 'version = "1"', "version", "'version' must be a whole number"),
        ("version = 1", "version = 0", "version", "'version' must be 1 or more"),
        ("version = 1", "", "", "'version' is missing"),
        ('about = "label"', 'about = "sound"', "about", "'about' must be one of label, pair, image"),
        ("says = ", "sasy = ", "sasy", "'sasy' is not a field"),
        ('name = "describe"', 'name = "../describe"', "name", "'name' must be 1 to 60 letters"),
        ("$subject", "it", "user", "must hold $subject"),
        ("$subject", "$subject $question", "user", "must hold $question if, and only if, 'questions'"),
        ("[limits]", 'questions = ["Why?"]\n[limits]', "user", "must hold $question if, and only if, 'questions'"),
        ("[limits]", "samples = 3\n[limits]", "samples", "'samples' would all be identical"),
        ("[limits]", "samples = 99\ntemperature = 1\n[limits]", "samples", "'samples' must be 1 to 50"),
        ("[limits]", "temperature = 3.5\n[limits]", "temperature", "'temperature' must be 0 to 2"),
        ("[limits]", "temperature = true\n[limits]", "temperature", "'temperature' must be a number"),
        ("[limits]", "max_tokens = 1\n[limits]", "max_tokens", "'max_tokens' must be 16 or more"),
        ("[limits]", "[limits]\nmost = 3", "most", "'limits' can have"),
        ("min_phrases = 5", "min_phrases = -5", "min_phrases", "'limits' must be whole numbers"),
        ('type = "object"', 'type = "thing"', "type", "is not a JSON Schema"),
        ('required = ["label", "sentence", "phrases"]', 'required = ["sentence"]', "[schema]", "requires 'label'"),
        (
            '[schema.properties.label]\ntype = "string"',
            '[schema.properties.label]\ntype = "array"',
            "[schema.properties.label]",
            "'label' must be of type string",
        ),
        (
            'phrase = { type = "string" }',
            'phrase = { type = "number" }',
            "[schema.properties.phrases]",
            "must hold strings, or objects",
        ),
        ("name", "=", "", "cannot be read"),
    ],
)
def test_an_invalid_file_is_refused_with_the_line_of_the_fault(
    old: str, new: str, line_start: str, message: str, tmp_path: Path
) -> None:
    path = edited_copy(tmp_path, old, new)
    with pytest.raises(StrategyError) as caught:
        load_strategy(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    line = re.search(r"line (\d+): ", str(caught.value))
    assert (line is None) == (line_start == "")
    assert line is None or path.read_text(encoding="utf-8").splitlines()[int(line[1]) - 1].startswith(line_start)


@pytest.mark.parametrize(
    ("about", "old", "new", "message"),
    [
        ("pair", '"other_phrase"]', '"other_phrase", "more"]', None),
        ("pair", ', "other_phrase"]', "]", "'differences' must hold objects of strings that require part,"),
        ("pair", 'required = ["label", "other", ', 'required = ["label", ', "requires 'other'"),
        ("image", "schema.properties.caption", "schema.properties.title", "must have one of caption"),
        ("image", "[limits]", 'questions = ["Why?"]\n[limits]', "'questions' require about = \"label\""),
    ],
)
def test_schemas_are_checked_by_about(about: str, old: str, new: str, message: str | None, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    assert old in strategy_text(about=about)
    path.write_text(strategy_text(about=about).replace(old, new), encoding="utf-8")
    if message is None:
        assert load_strategy(path).about == about
        return
    with pytest.raises(StrategyError, match=re.escape(message)):
        load_strategy(path)


def test_strategies_of_a_folder_are_listed_with_the_shipped_ones(tmp_path: Path) -> None:
    custom_strategy(tmp_path, name="colours")
    refs = [strategy.ref for strategy in available_strategies(tmp_path)]
    assert refs == sorted([*(strategy.ref for strategy in shipped_strategies()), "colours@1"])
    assert load_strategy("colours", tmp_path).says == "Ours."
    assert load_strategy("describe", tmp_path) == load_strategy("describe")


def test_shipped_names_and_duplicate_versions_are_refused(tmp_path: Path) -> None:
    custom_strategy(tmp_path, name="describe")
    with pytest.raises(StrategyError, match=r"describe\.toml: 'name' is 'describe', the name of a shipped strategy"):
        available_strategies(tmp_path)
    (tmp_path / "describe.toml").write_text(strategy_text(name="b"), encoding="utf-8")
    custom_strategy(tmp_path, name="b")
    with pytest.raises(StrategyError, match=r"describe\.toml: b@1 is also in b\.toml"):
        available_strategies(tmp_path)
    with pytest.raises(StrategyError, match="none does not exist"):
        available_strategies(tmp_path / "none")


@pytest.mark.parametrize("ref", ["describe@99", "invent", "missing.toml"])
def test_an_unknown_strategy_is_refused(ref: str) -> None:
    with pytest.raises(StrategyError, match=ref.partition("@")[0]):
        load_strategy(ref)
