"""Shortening of texts to the teacher's context length, with a report of each text.

A text longer than the context is never truncated silently: a phrase among others is omitted, a sentence is cut at the
end of a clause, and both are reported. With learned context vectors, these use a part of the context length.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from distill.teacher.teacher import Teacher


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


def shorten(text: str, fits: Callable[[str], bool]) -> str:
    """The longest prefix of `text` that fits and ends between two phrases or at the end of a clause.

    Phrases are separated by `;`. Clauses end before `,` `;` `:` and after `.` `!` `?`. If the longest such prefix is
    shorter than half of the longest prefix of whole words, the latter is used; if no word fits, the prefix ends at a
    character. Raises ValueError if nothing fits.
    """
    if phrases := _longest(text, (match.start() for match in re.finditer(r";(?=\s)", text)), fits):
        return phrases
    clause = _longest(text, (match.start() for match in re.finditer(r"[,;:](?=\s)|(?<=\w[.!?])\s", text)), fits)
    word = _longest(text, (match.start() for match in re.finditer(r"\s+", text)), fits)
    best = clause if 2 * len(clause) >= len(word) else word
    best = best or _longest(text, range(len(text)), fits)
    if not best:
        raise ValueError(f"no prefix of {text!r} fits the teacher's context")
    return best


def _longest(text: str, ends: Iterable[int], fits: Callable[[str], bool]) -> str:
    # Linear search from the end: the token count is not monotonic in the length, so a bisection could miss the longest.
    prefixes = (text[:end].rstrip() for end in sorted(ends, reverse=True))
    return next((prefix for prefix in prefixes if prefix and fits(prefix)), "")
