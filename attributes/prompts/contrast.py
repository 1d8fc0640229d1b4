"""What tells two labels apart, said of each for itself.

An answer gives for every difference the part, how it looks in each of the two classes, and a phrase for each. A phrase
ends up as the text of its own class alone, so it may hold nothing of the other: not its name, not its value, no
comparison with it. A phrase that does is left out, under a flag that asks for a better answer first.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from attributes.text import has_content
from attributes.types import Label, Line

_WORD = re.compile(r"\w+(?:[-'’]\w+)*")
_COMPARING = frozenset(
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
# Words that say nothing of a look by themselves; both sides may use them.
_LIGHT = frozenset(
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
    """Lines said of a label, and of the other one of a pair; `nothing` says why there are none of either."""

    lines: tuple[Line, ...]
    other_lines: tuple[Line, ...] = ()
    flags: tuple[str, ...] = ()
    nothing: str = ""


def lines_for_pair(
    differences: Iterable[Mapping[str, str]], pair: tuple[Label, Label], *, swapped: bool, strategy: str
) -> PairLines:
    """The lines of both labels of `pair`; `swapped`: the answer's target is the second one.

    A side of a difference is kept where its phrase says something of its own. Flags: `no_difference` (a part that
    looks the same in both), `leaking_difference` (a phrase left out for what it holds of the other label).
    """
    one, other = pair
    ours: list[Line] = []
    theirs: list[Line] = []
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
        if mentions_other_label(phrase, value, other_value, part, names_of=other, own=one):
            flags["leaking_difference"] = None
        elif has_content(phrase):
            ours.append(Line("contrast", phrase, part, value, str(other), other_value, strategy=strategy))
        if mentions_other_label(other_phrase, other_value, value, part, names_of=one, own=other):
            flags["leaking_difference"] = None
        elif has_content(other_phrase):
            theirs.append(Line("contrast", other_phrase, part, other_value, str(one), value, strategy=strategy))
    nothing = "no phrase says of one class alone what the other has not" if flags else ""
    return PairLines(tuple(ours), tuple(theirs), tuple(sorted(flags)), nothing)


def mentions_other_label(phrase: str, value: str, other_value: str, part: str, *, names_of: Label, own: Label) -> bool:
    """Whether a phrase about `own` holds something of the other label: its name, its value, or a comparison."""
    said = _words(phrase)
    name = _words(names_of.name)
    if name and not name <= _words(own.name) and name <= said:
        return True
    foreign = _words(other_value) - _words(value) - _words(part) - _LIGHT
    return bool(said & (foreign | _COMPARING))


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.casefold()))
