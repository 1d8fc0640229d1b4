"""Flags of one entry."""

import pytest

from attributes.flags import FLAGS, flags_of
from attributes.parsing.responses import _request_for as request_for_flag
from attributes.prompts.strategy import Limits
from attributes.types import Entry, sentence_and_phrases

LIMITS = Limits(sentence_words=5, phrase_words=3, min_phrases=2, max_phrases=3)
BOTH = frozenset({"sentence", "phrases"})


def entry(sentence: str, *phrases: str) -> Entry:
    return Entry("x", lines=sentence_and_phrases(sentence, phrases, origin="import"))


@pytest.mark.parametrize(
    ("example", "flags"),
    [
        (entry("It is red.", "a tail", "a bill"), ()),
        (entry(" . "), ("empty", "no_sentence", "too_few_phrases")),
        (entry("", "a tail", "a bill"), ("no_sentence",)),
        (entry("It is red.", "a tail"), ("too_few_phrases",)),
        (entry("It is red.", "a", "b", "c", "d"), ("too_many_phrases",)),
        (entry("It is red.", "A  tail", "a tail"), ("duplicate_phrase",)),
        (entry("It is red.", "a tail", "-"), ("empty_phrase",)),
        (entry("It is red and it flies.", "a tail", "a bill"), ("long_sentence",)),
        (entry("It is red.", "a tail", "a very long bill"), ("long_phrase",)),
        (entry("It is red.", "a tail", "N/A"), ("meta_text",)),
        (entry("I'm sorry, I can't.", "a tail", "a bill"), ("meta_text",)),
    ],
)
def test_flags(example: Entry, flags: tuple[str, ...]) -> None:
    assert flags_of(example, LIMITS, required=BOTH) == flags
    assert set(flags) <= set(FLAGS)


def test_without_limits_only_content_is_checked() -> None:
    assert flags_of(entry("word " * 500)) == ()
    assert flags_of(entry("", *(f"phrase {i} " + "long " * 50 for i in range(100)))) == ()
    assert flags_of(entry(".")) == ("empty",)


def test_a_correction_can_ask_for_each_flag() -> None:
    without_clause = {"empty", "no_sentence"}  # such a response is refused
    for flag in FLAGS:
        if flag not in without_clause:
            assert request_for_flag(flag, LIMITS)
