"""What can be seen to be wrong with one answer, or one entry, alone; the gates over a whole set build on these.

The flags:
    empty                 no line says anything (a lone "." is nothing)
    no_sentence           a sentence (answer, caption) was asked for and says nothing
    too_few_phrases       fewer than asked for       too_many_phrases       more than asked for
    too_few_differences   fewer than asked for       too_many_differences   more than asked for
    duplicate_phrase      the same words twice       empty_phrase           a phrase without a letter or digit
    long_sentence         more words than allowed    long_phrase            more words than allowed
and of a pair (`attributes.prompts.contrast`):
    leaking_difference    a phrase was left out for what it held of the other label
    no_difference         a part was left out that looks the same in both
"""

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
    "leaking_difference",
    "no_difference",
)
_SENTENCES = {"sentence", "answer", "caption"}


def flags_of(entry: Entry, limits: Limits | None = None, *, required: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """The flags that an entry earns, in the order of `FLAGS`.

    Lengths and numbers count only against `limits` (a file of others' making has none); `required` names what had to be
    there, as `Strategy.wants` does.
    """
    allowed = limits or Limits(sentence_words=10**9, phrase_words=10**9, max_phrases=10**9)
    phrases, sentences = entry.phrases, [line.text for line in entry.lines if line.kind in _SENTENCES]
    contrasts = [line.text for line in entry.lines if line.kind == "contrast"]
    num_differences = len(
        {(line.part, *sorted((line.value, line.other_value))) for line in entry.lines if line.kind == "contrast"}
    )
    earned = {
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
    }
    return tuple(flag for flag in FLAGS if earned.get(flag))
