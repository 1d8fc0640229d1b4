"""Texts beyond the teacher's context are omitted or cut, and each is reported."""

import pytest
import torch

from distill.teacher.teacher import Teacher
from distill.texts.shortening import ShortenedText, shorten
from distill.texts.text_targets import encode_text_targets
from distill.texts.text_templates import LabelAttributes, render
from tests.distill.conftest import CONTEXT

LONG_PHRASE = "a photo of crane, which has " + "very " * 30 + "long legs"


def test_phrase_that_is_too_long_is_omitted_and_reported(tiny_teacher: Teacher) -> None:
    short = "a photo of crane, which has a red cap"
    targets = encode_text_targets(tiny_teacher, [("a photo of heron",), (short, LONG_PHRASE)], cache=None)
    torch.testing.assert_close(targets.features[1:], tiny_teacher.encode_text([short]), atol=1e-6, rtol=0)
    (report,) = targets.truncated
    assert report[:3] == (1, LONG_PHRASE, tiny_teacher.count_tokens([LONG_PHRASE])[0])
    assert report.used is None


def test_sentence_that_is_too_long_is_cut_at_a_clause_and_reported(tiny_teacher: Teacher) -> None:
    sentence = "A tall grey bird with a red cap, long black legs, and wings that " + "slowly " * 12 + "beat."
    (text,) = render("sentence", "crane", LabelAttributes(sentence))
    targets = encode_text_targets(tiny_teacher, [(text,)], cache=None)
    used = "a photo of crane . A tall grey bird with a red cap, long black legs"
    assert targets.truncated == (ShortenedText(0, text, tiny_teacher.count_tokens([text])[0], used),)
    torch.testing.assert_close(targets.features, tiny_teacher.encode_text([used]), atol=1e-6, rtol=0)


def test_joined_phrases_that_are_too_long_are_cut_between_phrases(tiny_teacher: Teacher) -> None:
    attributes = LabelAttributes(
        phrases=("a red cap, worn high", "long black legs, thin", *("wings that beat " * 4 for _ in range(9)))
    )
    (text,) = render("phrases_joined", "crane", attributes)
    (short,) = encode_text_targets(tiny_teacher, [[text]], cache=None).truncated
    assert short.used is not None
    assert text.startswith(f"{short.used};")


def test_each_phrase_is_shortened_if_all_are_too_long(tiny_teacher: Teacher) -> None:
    targets = encode_text_targets(tiny_teacher, [(LONG_PHRASE, LONG_PHRASE + " and more")], cache=None)
    used = [entry.used for entry in targets.truncated]
    assert all(text is not None and tiny_teacher.count_tokens([text])[0] == CONTEXT for text in used)


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("one two, three four, five", 21, "one two, three four"),
        ("one two. three four! five six", 22, "one two. three four!"),
        ("one, two three four five six seven", 30, "one, two three four five six"),
        ("one two three", 9, "one two"),
        ("unbreakable", 4, "unbr"),
        ("one,two three", 12, "one,two"),
    ],
)
def test_shorten_cuts_at_a_clause_else_a_word_else_a_character(text: str, limit: int, expected: str) -> None:
    assert shorten(text, lambda start: len(start) <= limit) == expected


def test_text_that_cannot_be_shortened_is_an_error() -> None:
    with pytest.raises(ValueError, match="no prefix of"):
        shorten("abc", lambda start: False)
