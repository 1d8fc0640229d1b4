"""Rendered texts equal the published templates; empty attributes are not rendered."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from distill.texts.text_templates import (
    TEXT_KIND_TITLES,
    LabelAttributes,
    PromptOptions,
    TextsError,
    check_some_text,
    is_outlier,
    render,
    uses_name_only,
)
from limbeck.shared.templates import TEXT_KINDS

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


def test_all_renders_every_kind_except_joined_phrases() -> None:
    every = [text for kind in ("sentence", "answers", "phrases", "contrast") for text in render(kind, "crane", CRANE)]
    assert sorted(render("all", "crane", CRANE)) == sorted(every)


def test_concept_word_and_templates() -> None:
    prompt = PromptOptions(concept="bird", templates=("a photo of {}", "a drawing of {}."))
    assert render("names", "crane", CRANE, prompt) == (
        "a photo of crane, a type of bird",
        "a drawing of crane, a type of bird.",
    )
    assert len(render("phrases", "crane", CRANE, prompt)) == 4
    assert render("names", "crane", CRANE, PromptOptions(templates=("{}", "{}"))) == ("crane",)


def test_without_name_the_texts_use_attributes_only() -> None:
    nameless = PromptOptions(concept="animal", with_name=False)
    attributes = LabelAttributes("The grey crane and grey-cranes stand.", ("a grey crane's neck", "long legs"))
    assert render("sentence", "grey crane", attributes, nameless) == (
        "a photo of an animal . The animal and animal stand.",
    )
    assert render("phrases", "grey crane", attributes, nameless)[0] == "a photo of an animal, which has a animal's neck"
    assert render("names", "grey crane", attributes, PromptOptions(with_name=False)) == ("a photo of an object",)
    assert "crane" not in " ".join(render("all", "crane", CRANE, nameless)).lower()


@pytest.mark.parametrize("template", ["a photo", "{} and {}", "a {label}", "{}{", "}{}"])
def test_template_must_have_one_placeholder(template: str) -> None:
    with pytest.raises(ValidationError, match="once, where the label's name is inserted"):
        PromptOptions(templates=(template,))


@pytest.mark.parametrize("sentence", ["", " ", ".", " . "])
def test_empty_sentence_falls_back_to_the_name(sentence: str) -> None:
    assert uses_name_only("sentence", LabelAttributes(sentence))
    assert render("sentence", "crane", LabelAttributes(sentence)) == ("a photo of crane",)


@pytest.mark.parametrize("phrases", [(), ("",), (".", " ")])
def test_empty_phrases_fall_back_to_the_name(phrases: tuple[str, ...]) -> None:
    attributes = LabelAttributes("A sentence.", phrases, phrases, phrases)
    for kind in ("phrases", "phrases_joined", "answers", "contrast"):
        assert uses_name_only(kind, attributes)
        assert render(kind, "crane", attributes) == ("a photo of crane",)
    assert not uses_name_only("all", attributes)


def test_empty_phrase_is_omitted() -> None:
    attributes = LabelAttributes(phrases=("", "a red tail"))
    assert not uses_name_only("phrases", attributes)
    assert render("phrases", "crane", attributes) == ("a photo of crane, which has a red tail",)


def test_white_space_is_collapsed_and_braces_are_kept() -> None:
    attributes = LabelAttributes("a\t{label} {} b")
    assert render("sentence", " grey \n {} crane", attributes) == ("a photo of grey {} crane . a {label} {} b",)


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(KeyError):
        render("haiku", "crane", CRANE)  # type: ignore[arg-type]


def test_outlier_labels_are_no_attributes() -> None:
    lines = [
        {"kind": "phrase", "text": "long legs", "strategy": "phrases@1"},
        {"kind": "phrase", "text": "sandhill crane", "strategy": "outliers@1"},
    ]
    assert LabelAttributes.of_lines(lines).phrases == ("long legs",)
    assert [is_outlier(line) for line in lines] == [False, True]
    assert not is_outlier({"kind": "phrase", "text": "a file without strategies"})


def test_line_with_a_non_string_text_is_refused() -> None:
    with pytest.raises(TypeError):
        LabelAttributes.of_lines([{"kind": "phrase", "text": 7}])


def test_modules_import_without_torch() -> None:
    modules = "distill, distill.texts.text_templates, distill.config.model_names, distill.bundle.verify"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_text_for_which_no_label_has_attributes_is_refused() -> None:
    phrases = LabelAttributes("", ("a red crown",))
    check_some_text("phrases", [LabelAttributes(), phrases])
    check_some_text("names", [LabelAttributes()])
    with pytest.raises(TextsError, match='the text "sentence": choose "phrases" or "phrases_joined" or "all"'):
        check_some_text("sentence", [LabelAttributes(), phrases])
    with pytest.raises(TextsError, match='choose "names", or give other attributes'):
        check_some_text("all", [LabelAttributes(), LabelAttributes(".")])
