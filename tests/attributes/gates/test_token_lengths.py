"""Tokens without torch: the same numbers as the teacher's own tokenizer, and texts rendered as a teacher hears them."""

import random
from typing import get_args

import pytest

from attributes.gates import token_lengths
from attributes.gates.token_lengths import TokenCounter, clip_token_counter, render_line, token_counter_from_file
from attributes.types import LineKind
from distill.teacher.tokenizer import BytePairTokenizer
from distill.texts.text_templates import LabelAttributes
from distill.texts.text_templates import render as heard

TEXTS = ["", "a photo of a crane", "It's 3.5 feet -- héllo wörld!", "日本語のラベル", "UPPER   lower\ttab", "x" * 200]


def test_clips_byte_pairs_without_open_clips_code() -> None:
    assert clip_token_counter().name == "CLIP's byte pairs, context 77"
    assert clip_token_counter().count(TEXTS) == [len(ids) for ids in BytePairTokenizer(77, {}).ids(TEXTS)]


def test_a_tokenizers_file_counts_as_the_teacher_does() -> None:
    data = BytePairTokenizer(77, {}).as_file().to_str().encode()
    assert token_counter_from_file(data, 77, "file").count(TEXTS) == clip_token_counter().count(TEXTS)
    with pytest.raises(ValueError, match="the tokenizer of toy is not a tokenizers file"):
        token_counter_from_file(b"{}", 77, "toy")


def test_skipping_what_must_fit_finds_the_same_as_counting_everything() -> None:
    rng = random.Random(0)
    words = ["a", "long", "iridescent", "supercalifragilistic", "3.5", "blue-gray", "über", "鳥"]
    texts = [" ".join(rng.choices(words, k=rng.randint(0, 60))) for _ in range(300)]
    counts = clip_token_counter().count(texts)
    expected = [(at, tokens) for at, tokens in enumerate(counts) if tokens > 77]
    assert 20 < len(expected) < 280
    assert clip_token_counter().too_long(texts) == expected


def test_most_texts_are_never_counted() -> None:
    counted: list[str] = []

    def count(texts: object) -> list[int]:
        counted.extend(list(texts))  # type: ignore[call-overload]
        return clip_token_counter().count(list(texts))  # type: ignore[call-overload]

    tokens = TokenCounter(count, 77, "watched")
    assert tokens.too_long(["a photo of a crane, which has a red crown"] * 100) == []
    assert tokens.too_long(["a photo of a crane, which has " + "a red crown and " * 5] * 100) == []
    assert len(counted) < 20


@pytest.mark.parametrize("kind", get_args(LineKind))
def test_a_line_is_rendered_as_the_teacher_hears_it(kind: LineKind) -> None:
    said = "a  red crown."
    field, text = {
        "sentence": ("sentence", "sentence"),
        "phrase": ("phrases", "phrases"),
        "answer": ("answers", "answers"),
        "contrast": ("contrasts", "contrast"),
        "caption": ("sentence", "sentence"),
    }[kind]
    value = said if field == "sentence" else (said,)
    assert heard(text, " grey  crane", LabelAttributes(**{field: value})) == (render_line(" grey  crane", kind, said),)  # type: ignore[arg-type]


def test_without_open_clip_an_estimate_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_lengths, "find_spec", lambda name: None)
    clip_token_counter.cache_clear()
    try:
        assert "an estimate" in clip_token_counter().name
        assert clip_token_counter().too_long(["short", "word " * 40]) == [(1, 83)]
    finally:
        clip_token_counter.cache_clear()
