"""Shortening of texts to the teacher's context length, with a report of each text.

A text longer than the context is never truncated silently: a phrase among others is omitted, a sentence is cut at the
end of a clause, and both are reported. With learned context vectors, these use a part of the context length.
"""

from collections.abc import Sequence
from typing import NamedTuple

from distill.teacher.teacher import Teacher
from limbeck.shared.text import shorten as shorten


class ShortenedText(NamedTuple):
    """A text with more tokens than the teacher reads. `used`: the text that was encoded instead, None if omitted."""

    label: int
    prompt: str
    tokens: int
    used: str | None


def fit_context(
    teacher: Teacher, prompts: Sequence[Sequence[str]], max_tokens: int
) -> tuple[list[list[str]], list[ShortenedText]]:
    """The texts to encode for each label, at most `max_tokens` long, and the texts that were shortened or omitted.

    Texts that are too long are omitted; if a label has no other texts, they are shortened.
    """
    distinct = list(dict.fromkeys(text for texts in prompts for text in texts))
    tokens = dict(zip(distinct, teacher.count_tokens(distinct), strict=True))

    def fits(text: str) -> bool:
        return teacher.count_tokens([text])[0] <= max_tokens

    used: list[list[str]] = []
    report: list[ShortenedText] = []
    for label, texts in enumerate(prompts):
        kept = [text for text in texts if tokens[text] <= max_tokens]
        has_short_texts = bool(kept)
        for text in texts:
            if tokens[text] > max_tokens:
                shortened = None if has_short_texts else shorten(text, fits)
                report.append(ShortenedText(label, text, tokens[text], shortened))
                kept += [] if shortened is None else [shortened]
        used.append(kept)
    return used, report
