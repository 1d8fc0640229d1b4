"""What can be seen to be wrong with one entry alone; the gates over a whole set build on these.

The flags:
    empty              no line says anything (a lone "." is nothing)
    no_sentence        a sentence was asked for and says nothing
    too_few_phrases    fewer than asked for          too_many_phrases   more than asked for
    duplicate_phrase   the same words twice          empty_phrase       a phrase without a letter or digit
    long_sentence      more words than allowed       long_phrase        more words than allowed
"""

from attributes.strategy import Limits
from attributes.text import num_words, says_something
from attributes.types import Entry

FLAGS = (
    "empty",
    "no_sentence",
    "too_few_phrases",
    "too_many_phrases",
    "duplicate_phrase",
    "empty_phrase",
    "long_sentence",
    "long_phrase",
)


def flags_of(entry: Entry, limits: Limits | None = None, *, wants: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """The flags that an entry earns, in the order of `FLAGS`.

    Lengths and numbers count only against `limits` (a file of others' making has none); `wants` names what had to be
    there: `sentence`, `phrases`.
    """
    allowed = limits or Limits(sentence_words=10**9, phrase_words=10**9, max_phrases=10**9)
    texts = entry.phrases
    bare = not says_something(entry.sentence)
    earned = {
        "empty": not any(says_something(line.text) for line in entry.lines),
        "no_sentence": "sentence" in wants and bare,
        "too_few_phrases": "phrases" in wants and len(texts) < allowed.min_phrases,
        "too_many_phrases": len(texts) > allowed.max_phrases,
        "duplicate_phrase": len({" ".join(text.casefold().split()) for text in texts}) < len(texts),
        "empty_phrase": not all(map(says_something, texts)),
        "long_sentence": num_words(entry.sentence) > allowed.sentence_words,
        "long_phrase": any(num_words(text) > allowed.phrase_words for text in texts),
    }
    return tuple(flag for flag in FLAGS if earned[flag])
