"""The rendered texts are those of the published templates, and nothing is rendered from an empty attribute."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from distill.texts.text_templates import (
    TEXT_KIND_TITLES,
    TEXT_KINDS,
    LabelAttributes,
    PromptOptions,
    render,
    uses_name_only,
)

CRANE = LabelAttributes(
    "A tall grey bird.",
    ("a hooked beak", "white wing bars."),
    ("Cranes have a bare red crown.", "A crane is grey."),
    ("a longer neck", "black legs"),
)


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        ("names", ["a photo of crane"]),
        ("sentence", ["a photo of crane . A tall grey bird."]),
        ("phrases", ["a photo of crane, which has a hooked beak", "a photo of crane, which has white wing bars"]),
        ("phrases_joined", ["a photo of crane, which has a hooked beak; white wing bars"]),
        ("answers", ["a photo of crane . Cranes have a bare red crown.", "a photo of crane . A crane is grey."]),
        ("contrast", ["a photo of crane, which has a longer neck", "a photo of crane, which has black legs"]),
    ],
)
def test_the_templates(kind: str, texts: list[str]) -> None:
    assert list(render(kind, "crane", CRANE)) == texts  # type: ignore[arg-type]
    assert set(TEXT_KIND_TITLES) == set(TEXT_KINDS)


def test_all_is_everything_but_the_joined_text() -> None:
    every = [text for kind in ("sentence", "answers", "phrases", "contrast") for text in render(kind, "crane", CRANE)]
    assert sorted(render("all", "crane", CRANE)) == sorted(every)


def test_a_concept_word_and_templates() -> None:
    prompt = PromptOptions(concept="bird", templates=("a photo of {}", "a drawing of {}."))
    assert render("names", "crane", CRANE, prompt) == (
        "a photo of crane, a type of bird",
        "a drawing of crane, a type of bird.",
    )
    assert len(render("phrases", "crane", CRANE, prompt)) == 4
    assert render("names", "crane", CRANE, PromptOptions(templates=("{}", "{}"))) == ("crane",)


def test_without_its_name_a_label_is_told_by_its_attributes_alone() -> None:
    nameless = PromptOptions(concept="animal", with_name=False)
    said = LabelAttributes("The grey crane and grey-cranes stand.", ("a grey crane's neck", "long legs"))
    assert render("sentence", "grey crane", said, nameless) == ("a photo of an animal . The animal and animal stand.",)
    assert render("phrases", "grey crane", said, nameless)[0] == "a photo of an animal, which has a animal's neck"
    assert render("names", "grey crane", said, PromptOptions(with_name=False)) == ("a photo of an object",)
    assert "crane" not in " ".join(render("all", "crane", CRANE, nameless)).lower()


@pytest.mark.parametrize("template", ["a photo", "{} and {}", "a {label}", "{}{", "}{}"])
def test_a_template_has_one_place_for_the_name(template: str) -> None:
    with pytest.raises(ValidationError, match="once, where the label's name comes"):
        PromptOptions(templates=(template,))


@pytest.mark.parametrize("sentence", ["", " ", ".", " . "])
def test_a_sentence_that_says_nothing_falls_back_to_the_name(sentence: str) -> None:
    assert uses_name_only("sentence", LabelAttributes(sentence))
    assert render("sentence", "crane", LabelAttributes(sentence)) == ("a photo of crane",)


@pytest.mark.parametrize("phrases", [(), ("",), (".", " ")])
def test_phrases_that_say_nothing_fall_back_to_the_name(phrases: tuple[str, ...]) -> None:
    said = LabelAttributes("A sentence.", phrases, phrases, phrases)
    for kind in ("phrases", "phrases_joined", "answers", "contrast"):
        assert uses_name_only(kind, said)
        assert render(kind, "crane", said) == ("a photo of crane",)
    assert not uses_name_only("all", said)


def test_an_empty_phrase_among_others_is_left_out() -> None:
    said = LabelAttributes(phrases=("", "a red tail"))
    assert not uses_name_only("phrases", said)
    assert render("phrases", "crane", said) == ("a photo of crane, which has a red tail",)


def test_white_space_and_braces_are_data() -> None:
    said = LabelAttributes("a\t{label} {} b")
    assert render("sentence", " grey \n {} crane", said) == ("a photo of grey {} crane . a {label} {} b",)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(KeyError):
        render("haiku", "crane", CRANE)  # type: ignore[arg-type]


def test_lines_that_are_none_are_refused() -> None:
    with pytest.raises(TypeError):
        LabelAttributes.of_lines([{"kind": "phrase", "text": 7}])


def test_the_module_and_its_neighbours_import_without_torch() -> None:
    modules = "distill, distill.texts.text_templates, distill.config.model_names, distill.bundle.verify"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
