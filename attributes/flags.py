"""Flags: faults of a single response or entry. The gates (`attributes.gates`) check a whole set.

The flags:
    empty                 no line has a letter or digit
    no_sentence           a required sentence (answer, caption) has no letter or digit
    too_few_phrases       fewer than the limit       too_many_phrases       more than the limit
    too_few_differences   fewer than the limit       too_many_differences   more than the limit
    duplicate_phrase      the same words twice       empty_phrase           a phrase without a letter or digit
    long_sentence         more words than allowed    long_phrase            more words than allowed
    meta_text             a line is an error message, a refusal, a placeholder or talk about the task
and for a pair (`attributes.prompts.contrast`):
    leaking_difference    a phrase that mentions the other label was left out
    no_difference         a part that looks the same in both was left out
"""

from attributes.meta_text import talks_about_task
from attributes.prompts.strategy import Limits
from attributes.text import has_content, num_words
from attributes.types import Entry

FLAGS = (
    "empty",
    "no_sentence",
    "too_few_phrases",
    "too_many_phrases",
    "too_few_differences",
    "too_many_differences",
    "duplicate_phrase",
    "empty_phrase",
    "long_sentence",
    "long_phrase",
    "meta_text",
    "leaking_difference",
    "no_difference",
)
_SENTENCES = {"sentence", "answer", "caption"}


def flags_of(entry: Entry, limits: Limits | None = None, *, required: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """The flags of an entry, in the order of `FLAGS`.

    Lengths and numbers of lines are checked only if `limits` are given (an imported file has none). `required` are
    fields of the response that must not be empty, as in `Strategy.response_fields`.
    """
    allowed = limits or Limits(sentence_words=10**9, phrase_words=10**9, max_phrases=10**9)
    phrases, sentences = entry.phrases, [line.text for line in entry.lines if line.kind in _SENTENCES]
    contrasts = [line.text for line in entry.lines if line.kind == "contrast"]
    num_differences = len(
        {(line.part, *sorted((line.value, line.other_value))) for line in entry.lines if line.kind == "contrast"}
    )
    has_flag = {
        "empty": not any(has_content(line.text) for line in entry.lines),
        "no_sentence": bool(_SENTENCES & required) and not any(map(has_content, sentences)),
        "too_few_phrases": "phrases" in required and len(phrases) < allowed.min_phrases,
        "too_many_phrases": len(phrases) > allowed.max_phrases,
        "too_few_differences": "differences" in required and num_differences < allowed.min_phrases,
        "too_many_differences": "differences" in required and num_differences > allowed.max_phrases,
        "duplicate_phrase": len({" ".join(text.casefold().split()) for text in phrases}) < len(phrases),
        "empty_phrase": not all(map(has_content, phrases)),
        "long_sentence": any(num_words(text) > allowed.sentence_words for text in sentences),
        "long_phrase": any(num_words(text) > allowed.phrase_words for text in [*phrases, *contrasts]),
        "meta_text": any(talks_about_task(line.text, entry.label) for line in entry.lines),
    }
    return tuple(flag for flag in FLAGS if has_flag.get(flag))
