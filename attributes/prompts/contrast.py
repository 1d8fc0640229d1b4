"""Lines about the differences between two labels.

A response has, for each difference, the part, its value for each of the two labels, and a phrase for each. A phrase
becomes a line of its own label only, so it must not have the name or the value of the other label, or a comparison
with it. A phrase that has them is left out, and the flag `leaking_difference` asks for a better response.

The lists of words are English. In another language a phrase leaks if it has all words of the other label's value: its
single words are often function words.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from attributes.languages import is_english
from attributes.text import has_content
from attributes.types import Label, Line

_WORD = re.compile(r"\w+(?:[-'’]\w+)*")
# Chinese characters, Japanese kana, Thai, Lao, Burmese and Khmer.
_WITHOUT_SPACES = re.compile("[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
_COMPARISON_WORDS = frozenset(
    {
        "than",
        "unlike",
        "whereas",
        "versus",
        "vs",
        "instead",
        "rather",
        "compared",
        "opposed",
        "differs",
        "differing",
        "different",
        "other",
        "another",
    }
)
# Words without visual meaning, allowed in the phrases of both labels.
_FUNCTION_WORDS = frozenset(
    {
        "a",
        "an",
        "the",
        "of",
        "in",
        "on",
        "at",
        "to",
        "and",
        "or",
        "with",
        "without",
        "by",
        "for",
        "from",
        "as",
        "its",
        "their",
        "it",
        "is",
        "are",
        "has",
        "have",
        "that",
        "which",
        "one",
        "two",
        "very",
        "no",
        "not",
        "none",
    }
)


@dataclass(frozen=True)
class PairLines:
    """Lines of the two labels of a pair. `empty_reason` says why neither has lines; it is sent to the LLM."""

    lines: tuple[Line, ...]
    other_lines: tuple[Line, ...] = ()
    flags: tuple[str, ...] = ()
    empty_reason: str = ""


def lines_for_pair(
    differences: Iterable[Mapping[str, str]],
    pair: tuple[Label, Label],
    *,
    swapped: bool,
    strategy: str,
    language: str = "",
) -> PairLines:
    """The lines of both labels of `pair`. If `swapped`, the target of the response is the second label.

    Flags: `no_difference` (a part that looks the same in both was left out), `leaking_difference` (a phrase that
    mentions the other label was left out). A phrase without letters and digits is left out without a flag.
    """
    label, other = pair
    lines: list[Line] = []
    other_lines: list[Line] = []
    flags: dict[str, None] = {}
    for item in differences:
        sides = [(item["target_value"], item["target_phrase"]), (item["other_value"], item["other_phrase"])]
        if swapped:
            sides.reverse()
        (value, phrase), (other_value, other_phrase) = sides
        if _words(value) == _words(other_value) or phrase.casefold() == other_phrase.casefold():
            flags["no_difference"] = None
            continue
        part = item["part"]
        mentions = mentions_other_label if is_english(language) else mentions_other_label_in_any_language
        if mentions(phrase, value, other_value, part, own=label, other=other):
            flags["leaking_difference"] = None
        elif has_content(phrase):
            lines.append(Line("contrast", phrase, part, value, str(other), other_value, strategy=strategy))
        if mentions(other_phrase, other_value, value, part, own=other, other=label):
            flags["leaking_difference"] = None
        elif has_content(other_phrase):
            other_lines.append(Line("contrast", other_phrase, part, other_value, str(label), value, strategy=strategy))
    empty_reason = "no phrase says of one class alone what the other has not" if flags else ""
    return PairLines(tuple(lines), tuple(other_lines), tuple(sorted(flags)), empty_reason)


def mentions_other_label(phrase: str, value: str, other_value: str, part: str, *, own: Label, other: Label) -> bool:
    """Whether a phrase about `own` has the name or the value of `other`, or a comparison."""
    words = _words(phrase)
    other_name = _words(other.name)
    if other_name and not other_name <= _words(own.name) and other_name <= words:
        return True
    other_words = _words(other_value) - _words(value) - _words(part) - _FUNCTION_WORDS
    return bool(words & (other_words | _COMPARISON_WORDS))


def mentions_other_label_in_any_language(
    phrase: str, value: str, other_value: str, part: str, *, own: Label, other: Label
) -> bool:
    """As `mentions_other_label`, without lists of words: the phrase has the name or the whole value of `other`."""
    if _occurs(other.name, phrase) and not _occurs(other.name, own.name):
        return True
    return _occurs(other_value, phrase) and not _occurs(other_value, f"{value} {part}")


def _occurs(text: str, longer: str) -> bool:
    """Whether all words of a text are in a longer one; a text in a script without spaces must be a part of it."""
    words = _words(text)
    if words and _WITHOUT_SPACES.search(text):
        return text.casefold().strip() in longer.casefold()
    return bool(words) and words <= _words(longer)


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.casefold()))
