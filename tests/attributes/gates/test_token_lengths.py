"""Token counts without torch: equal to the teacher's tokenizer, for texts rendered as for the teacher."""

import random
from typing import get_args

import pytest

from attributes.gates.token_lengths import TokenCounter, clip_token_counter, token_counter_from_file
from attributes.types import LineKind
from distill.teacher.tokenizer import BytePairTokenizer
from distill.texts.text_templates import LabelAttributes
from distill.texts.text_templates import render as render_for_teacher
from limbeck.shared.templates import render_line

TEXTS = ["", "a photo of a crane", "It's 3.5 feet -- héllo wörld!", "日本語のラベル", "UPPER   lower\ttab", "x" * 200]


def test_clip_tokens_are_counted_as_by_the_teacher() -> None:
    assert clip_token_counter().name == "CLIP's byte pairs, context 77"
    assert clip_token_counter().count(TEXTS) == [len(ids) for ids in BytePairTokenizer(77, {}).ids(TEXTS)]


def test_a_tokenizers_file_counts_like_the_teacher() -> None:
    data = BytePairTokenizer(77, {}).as_file().to_str().encode()
    assert token_counter_from_file(data, 77, "file").count(TEXTS) == clip_token_counter().count(TEXTS)
    with pytest.raises(ValueError, match="the tokenizer of toy is not a tokenizers file"):
        token_counter_from_file(b"{}", 77, "toy")


def test_too_long_equals_counting_all_texts() -> None:
    rng = random.Random(0)
    words = ["a", "long", "iridescent", "supercalifragilistic", "3.5", "blue-gray", "über", "鳥"]
    texts = [" ".join(rng.choices(words, k=rng.randint(0, 60))) for _ in range(300)]
    counts = clip_token_counter().count(texts)
    expected = [(at, tokens) for at, tokens in enumerate(counts) if tokens > 77]
    assert 20 < len(expected) < 280
    assert clip_token_counter().too_long(texts) == expected


def test_most_texts_are_not_tokenized() -> None:
    counted: list[str] = []

    def count(texts: object) -> list[int]:
        counted.extend(list(texts))  # type: ignore[call-overload]
        return clip_token_counter().count(list(texts))  # type: ignore[call-overload]

    tokens = TokenCounter(count, 77, "watched")
    assert tokens.too_long(["a photo of a crane, which has a red crown"] * 100) == []
    assert tokens.too_long(["a photo of a crane, which has " + "a red crown and " * 5] * 100) == []
    assert len(counted) < 20


@pytest.mark.parametrize("kind", get_args(LineKind))
def test_a_line_is_rendered_as_for_the_teacher(kind: LineKind) -> None:
    line_text = "a  red crown."
    field, text = {
        "sentence": ("sentence", "sentence"),
        "phrase": ("phrases", "phrases"),
        "answer": ("answers", "answers"),
        "contrast": ("contrasts", "contrast"),
        "caption": ("sentence", "sentence"),
    }[kind]
    value = line_text if field == "sentence" else (line_text,)
    attributes = LabelAttributes(**{field: value})  # type: ignore[arg-type]
    rendered = render_for_teacher(text, " grey  crane", attributes)  # type: ignore[arg-type]
    assert rendered == (render_line(" grey  crane", kind, line_text),)
