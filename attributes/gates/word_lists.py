"""Lists of words and phrases found in running text: the lists are files that people extend.

[category]        what the phrases below it are kept under
perch             a word stands for its other forms, by their lemma
vocal*            and this one for every word that begins so
3 feet            a number stands for any number
!growth habit     an exception: where it stands, no other phrase is found
-perch            takes out what an earlier file put in
# a comment
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from attributes.gates.lemmas import lemma, words

EXCEPTION = "!"


class WordListError(ValueError):
    """A file of words that cannot be read; the message names it, the line and the fault."""


class WordMatch(NamedTuple):
    """A phrase of the list at `words[start:stop]`; `category` is `!` for an exception."""

    start: int
    stop: int
    category: str


@dataclass
class _Node:
    below: dict[str, "_Node"] = field(default_factory=dict)
    category: str = ""


class PhraseIndex:
    """Phrases by category. Words must be folded, as `words.words` gives them; an empty one is a gap."""

    def __init__(self) -> None:
        self._root = _Node()
        self._prefixes: set[str] = set()
        self._forms: dict[str, tuple[str, ...]] = {}
        self._starts: dict[str, tuple[_Node, ...]] = {}
        self._silent: set[str] = {""}  # words seen that begin no phrase

    def add(self, phrase: str, category: str) -> None:
        """Put a phrase in; a category of "" takes it out."""
        node = self._root
        for word in _steps(phrase):
            if word.endswith("*"):
                self._prefixes.add(word[:-1])
            node = node.below.setdefault(word, _Node())
        node.category = category
        self._forms.clear()
        self._starts.clear()
        self._silent = {""}

    def find(self, said: Sequence[str]) -> list[WordMatch]:
        """The longest phrase at each place, none within another; exceptions hide what they cover."""
        if self._silent.issuperset(said):
            return []
        starts = self._starts
        found: list[WordMatch] = []
        free = 0
        for at, word in enumerate(said):
            nodes = starts.get(word)
            if nodes is None:
                nodes = starts[word] = tuple(self._below(self._root, word)) if word else ()
                if not nodes:
                    self._silent.add(word)
            if nodes and at >= free and (best := self._longest(nodes, said, at)):
                found.append(best)
                free = best.stop
        return [one for one in found if one.category != EXCEPTION]

    def _longest(self, nodes: Sequence[_Node], said: Sequence[str], at: int) -> WordMatch | None:
        best: WordMatch | None = None
        stop = at + 1
        while nodes:
            for node in nodes:
                if node.category:
                    best = WordMatch(at, stop, node.category)
            nodes = [below for node in nodes for below in self._below(node, said[stop])] if stop < len(said) else []
            stop += 1
        return best

    def _below(self, node: _Node, word: str) -> Iterator[_Node]:
        for form in self._forms_of(word) if word else ():
            if below := node.below.get(form):
                yield below

    def _forms_of(self, word: str) -> tuple[str, ...]:
        known = self._forms.get(word)
        if known is None:
            prefixes = [f"{prefix}*" for prefix in self._prefixes if word.startswith(prefix)]
            known = self._forms[word] = tuple(dict.fromkeys([_step(word), lemma(word), *prefixes]))
        return known


def _steps(phrase: str) -> list[str]:
    """The words of a phrase as the book keeps them; only the last may end in a star."""
    steps = [_step(word) for word in words(phrase)]
    if phrase.endswith("*") and steps:
        steps[-1] += "*"
    return steps


def _step(word: str) -> str:
    return "0" if word.isdigit() else word


def read_word_list(book: PhraseIndex, path: Path) -> None:
    """Put the phrases of a file into the book. Raises WordListError."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"is not UTF-8 (byte {error.start})"
        raise WordListError(f"{path}: {reason}") from None
    category = "listed"
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            category = line.strip("[] ").strip()
            if not line.endswith("]") or not category:
                raise WordListError(f"{path} line {number}: write a category as [name]")
            continue
        phrase = line.removeprefix(EXCEPTION).removeprefix("-")
        if not _steps(phrase) or "*" in phrase[:-1]:
            raise WordListError(f"{path} line {number}: {line!r} is no word or phrase (a * may end it)")
        book.add(phrase, EXCEPTION if line.startswith(EXCEPTION) else "" if line.startswith("-") else category)


def read_word_lists(paths: Iterable[Path]) -> PhraseIndex:
    """One book of these files, the later over the earlier."""
    book = PhraseIndex()
    for path in paths:
        read_word_list(book, path)
    return book
