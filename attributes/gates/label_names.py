"""Other labels of the vocabulary, named where one is described.

Names are found word by word, in the singular or plural, folded, the longest at each place, by one look-up for each
length that a name with that first word has: 100,000 labels cost no more than 100. No offence are the label's own name,
a label that is a piece of it or that it is a piece of (`crow`, `American crow`), and one-word labels that text cannot
do without: colours (`an orange bill`) and helping words (`can`).
"""

from collections.abc import Iterable, Iterator, Sequence

from attributes.gates.lemmas import WORD, listed, singular, words
from attributes.types import Label

# Labels of one word that are also how a thing looks, or no name at all in running text.
COMMON_WORDS = listed(
    "amber amethyst apricot aqua beige black blue bronze brown buff charcoal chestnut chocolate cinnamon copper coral "
    "cream crimson cyan ebony emerald gold gray green grey indigo ivory jade khaki lavender lemon lilac lime magenta "
    "maroon mauve mustard navy ochre olive orange orchid peach pearl pink plum purple raspberry red rose ruby rust "
    "salmon sand sapphire scarlet sepia silver tan teal turquoise vermilion violet white yellow "
    "can may will must might like back head body well still"
)


def name_words(name: str) -> tuple[str, ...]:
    """A name as it is found in text: its words, folded, in the singular."""
    return tuple(singular(word) for word in words(name))


def without_name(text: str, own: Sequence[str]) -> tuple[str, list[str]]:
    """A text with the own name (`name_words`) taken out wherever it stands whole, and its words, "" for the gap."""
    said = words(text)
    if not own or (len(own) > 1 and own[0] not in said):  # names have their plural at the end
        return text, said
    last = own[-1]
    if not any(singular(word) == last for word in said):
        return text, said
    width, name = len(own), list(own)
    spans = [match.span() for match in WORD.finditer(text)]
    if len(spans) != len(said):  # folding has moved a word's end, as in some scripts: the text stays whole
        return text, said
    for at in range(width - 1, len(said)):
        first = at + 1 - width
        if singular(said[at]) == last and [singular(word) for word in said[first : at + 1]] == name:
            said[first : at + 1] = [""] * width
            text = text[: spans[first][0]] + " " * (spans[at][1] - spans[first][0]) + text[spans[at][1] :]
    return text, said


class NameIndex:
    """The labels of a vocabulary, by the words of their names."""

    def __init__(self, labels: Iterable[Label]) -> None:
        self._names: dict[str, str] = {}
        self._lengths: dict[str, int] = {}  # of names with this first word, a bit for each
        self._starts: dict[str, int] = {"": 0}
        self._silent: set[str] = {""}  # words seen that begin no name
        for label in labels:
            name = name_words(label.name)
            if not name or (len(name) == 1 and name[0] in COMMON_WORDS):
                continue
            self._names.setdefault(" ".join(name), label.name)
            self._lengths[name[0]] = self._lengths.get(name[0], 0) | 1 << len(name)

    def named_in(self, said: Sequence[str], own: Sequence[str], sense: str | None = None) -> Iterator[str]:
        """The names of other labels in `said`, words of a text about `own` from which `without_name` took its name."""
        if self._silent.issuperset(said):
            return
        free = 0
        allowed = frozenset(own)
        for at, word in enumerate(said):
            lengths = self._starts.get(word)
            if lengths is None:
                lengths = self._starts[word] = self._lengths.get(singular(word), 0)
                if not lengths:
                    self._silent.add(word)
            if not lengths or at < free:
                continue
            for width in range(min(lengths.bit_length() - 1, len(said) - at), 0, -1):
                if not lengths >> width & 1:
                    continue
                candidate = [singular(other) for other in said[at : at + width]]
                name = self._names.get(" ".join(candidate))
                if name is not None:
                    free = at + width
                    if not (allowed.issuperset(candidate) or _holds(candidate, own) or _of_sense(candidate, sense)):
                        yield name
                    break


def _holds(longer: Sequence[str], shorter: Sequence[str]) -> bool:
    width = len(shorter)
    return any(list(longer[at : at + width]) == list(shorter) for at in range(len(longer) - width + 1))


def _of_sense(candidate: Sequence[str], sense: str | None) -> bool:
    return sense is not None and set(candidate) <= set(name_words(sense))
