"""The rendered texts are those of the published templates, and nothing is rendered from an empty attribute."""

import subprocess
import sys

import pytest

from distill.prompts import falls_back, render


def test_the_three_templates() -> None:
    phrases = ["a hooked beak", "white wing bars."]
    assert render("names", "crane", "Tall.", phrases) == ("a photo of crane",)
    assert render("sentence", "crane", "A tall grey bird.", phrases) == ("a photo of crane . A tall grey bird.",)
    assert render("phrases", "crane", "Tall.", phrases) == (
        "a photo of crane, which has a hooked beak",
        "a photo of crane, which has white wing bars",
    )


@pytest.mark.parametrize("sentence", [None, "", " ", ".", " . "])
def test_a_sentence_that_says_nothing_falls_back_to_the_name(sentence: str | None) -> None:
    assert falls_back("sentence", sentence, ())
    assert render("sentence", "crane", sentence, ()) == ("a photo of crane",)


@pytest.mark.parametrize("phrases", [[], [""], [".", " "]])
def test_phrases_that_say_nothing_fall_back_to_the_name(phrases: list[str]) -> None:
    assert falls_back("phrases", "A sentence.", phrases)
    assert render("phrases", "crane", "A sentence.", phrases) == ("a photo of crane",)


def test_an_empty_phrase_among_others_is_left_out() -> None:
    assert not falls_back("phrases", None, ["", "a red tail"])
    assert render("phrases", "crane", None, ["", "a red tail"]) == ("a photo of crane, which has a red tail",)


def test_white_space_and_braces_are_data() -> None:
    assert render("sentence", " grey \n crane", "a\t{label} b", ()) == ("a photo of grey crane . a {label} b",)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(KeyError):
        render("haiku", "crane", None, ())  # type: ignore[arg-type]


def test_the_module_and_its_neighbours_import_without_torch() -> None:
    code = "import sys, distill, distill.prompts, distill.catalog, distill.verify; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
