"""Finds the names of other labels of the vocabulary in the text of a label.

Words are compared folded and in the singular; the longest name at each position is found. One look-up is made for each
length of the names with that first word, so that the cost does not depend on the number of labels. Not a violation: the
label's own name, a label whose name is part of it or contains it (`crow`, `American crow`), and one-word labels that
are common words: colours (`an orange bill`) and auxiliary verbs (`can`).
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from attributes.gates.words.lemmas import UNSPACED, listed, singular, word_pattern, words
from attributes.types import Label

# One-word labels that usually are not names in running text: colours, auxiliary verbs and other common words.
COMMON_WORDS = listed(
    "amber amethyst apricot aqua beige black blue bronze brown buff charcoal chestnut chocolate cinnamon copper coral "
    "cream crimson cyan ebony emerald gold gray green grey indigo ivory jade khaki lavender lemon lilac lime magenta "
    "maroon mauve mustard navy ochre olive orange orchid peach pearl pink plum purple raspberry red rose ruby rust "
    "salmon sand sapphire scarlet sepia silver tan teal turquoise vermilion violet white yellow "
    "can may will must might like back head body well still"
)

# A name of one such character (crane in Chinese) is a part of many other words.
_UNSPACED_CHARACTER = re.compile(f"[{UNSPACED}]")


def name_words(name: str) -> tuple[str, ...]:
    """The words of a name as they are compared: folded, in the singular."""
    return tuple(singular(word) for word in words(name))


def without_name(text: str, own_name: Sequence[str]) -> tuple[str, list[str]]:
    """The text without every whole occurrence of the label's own name (`name_words`), and its words with "" for the
    words of the name."""
    found = words(text)
    if not own_name or (len(own_name) > 1 and own_name[0] not in found):  # only the last word can be plural
        return text, found
    last = own_name[-1]
    if not any(singular(word) == last for word in found):
        return text, found
    width, name = len(own_name), list(own_name)
    spans = [match.span() for match in word_pattern(text).finditer(text)]
    if len(spans) != len(found):  # folding has changed word boundaries, as in some scripts: keep the text
        return text, found
    for end in range(width - 1, len(found)):
        first = end + 1 - width
        if singular(found[end]) == last and [singular(word) for word in found[first : end + 1]] == name:
            found[first : end + 1] = [""] * width
            text = text[: spans[first][0]] + " " * (spans[end][1] - spans[first][0]) + text[spans[end][1] :]
    return text, found


class NameIndex:
    """The labels of a vocabulary, indexed by the words of their names."""

    def __init__(self, labels: Iterable[Label]) -> None:
        self._names: dict[str, str] = {}
        self._lengths: dict[str, int] = {}  # first word -> bit mask of the lengths of its names
        self._starts: dict[str, int] = {"": 0}
        self._no_start: set[str] = {""}  # words that start no name (cache)
        for label in labels:
            name = name_words(label.name)
            if not name or (len(name) == 1 and (name[0] in COMMON_WORDS or _UNSPACED_CHARACTER.fullmatch(name[0]))):
                continue
            self._names.setdefault(" ".join(name), label.name)
            self._lengths[name[0]] = self._lengths.get(name[0], 0) | 1 << len(name)

    def named_in(self, words: Sequence[str], own_name: Sequence[str], sense: str | None = None) -> Iterator[str]:
        """The names of other labels in `words`, which `without_name` returned for a text of the label `own_name`."""
        if self._no_start.issuperset(words):
            return
        next_free = 0
        allowed = frozenset(own_name)
        for start, word in enumerate(words):
            lengths = self._starts.get(word)
            if lengths is None:
                lengths = self._starts[word] = self._lengths.get(singular(word), 0)
                if not lengths:
                    self._no_start.add(word)
            if not lengths or start < next_free:
                continue
            for width in range(min(lengths.bit_length() - 1, len(words) - start), 0, -1):
                if not lengths >> width & 1:
                    continue
                candidate = [singular(other) for other in words[start : start + width]]
                name = self._names.get(" ".join(candidate))
                if name is not None:
                    next_free = start + width
                    if not (
                        allowed.issuperset(candidate) or _contains(candidate, own_name) or _in_sense(candidate, sense)
                    ):
                        yield name
                    break


def _contains(longer: Sequence[str], shorter: Sequence[str]) -> bool:
    width = len(shorter)
    return any(list(longer[start : start + width]) == list(shorter) for start in range(len(longer) - width + 1))


def _in_sense(candidate: Sequence[str], sense: str | None) -> bool:
    return sense is not None and set(candidate) <= set(name_words(sense))
