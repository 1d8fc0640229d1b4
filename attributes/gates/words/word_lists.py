"""Word lists: phrases in files that people can extend, and an index that finds them in text.

[category]        the category of the phrases below
perch             a word matches all its forms (by lemma)
vocal*            matches every word with this prefix
3 feet            a number matches any number
!growth habit     an exception: no other phrase is found in these words
-perch            removes a phrase of an earlier file
# a comment
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from attributes.gates.words.lemmas import lemma, words

EXCEPTION = "!"


class WordListError(ValueError):
    """A word list that cannot be read; the message names the file, the line and the error."""


class WordMatch(NamedTuple):
    """A phrase found at `words[start:stop]`; `category` is `!` for an exception."""

    start: int
    stop: int
    category: str


@dataclass
class _Node:
    children: dict[str, "_Node"] = field(default_factory=dict)
    category: str = ""


class PhraseIndex:
    """Phrases with categories, stored as a trie. Words must be folded (`lemmas.words`); an empty word is a gap."""

    def __init__(self) -> None:
        self._root = _Node()
        self._prefixes: set[str] = set()
        self._forms: dict[str, tuple[str, ...]] = {}
        self._starts: dict[str, tuple[_Node, ...]] = {}
        self._no_start: set[str] = {""}  # words that start no phrase (cache)

    def add(self, phrase: str, category: str) -> None:
        """Add a phrase; the category "" removes it."""
        node = self._root
        for word in _keys(phrase):
            if word.endswith("*"):
                self._prefixes.add(word[:-1])
            node = node.children.setdefault(word, _Node())
        node.category = category
        self._forms.clear()
        self._starts.clear()
        self._no_start = {""}

    def find(self, words: Sequence[str]) -> list[WordMatch]:
        """The longest phrase at each position, without overlaps; words of an exception match no phrase."""
        if self._no_start.issuperset(words):
            return []
        starts = self._starts
        found: list[WordMatch] = []
        next_free = 0
        for index, word in enumerate(words):
            nodes = starts.get(word)
            if nodes is None:
                nodes = starts[word] = tuple(self._children(self._root, word)) if word else ()
                if not nodes:
                    self._no_start.add(word)
            if nodes and index >= next_free and (longest := self._longest(nodes, words, index)):
                found.append(longest)
                next_free = longest.stop
        return [match for match in found if match.category != EXCEPTION]

    def _longest(self, nodes: Sequence[_Node], words: Sequence[str], start: int) -> WordMatch | None:
        longest: WordMatch | None = None
        stop = start + 1
        while nodes:
            for node in nodes:
                if node.category:
                    longest = WordMatch(start, stop, node.category)
            nodes = (
                [child for node in nodes for child in self._children(node, words[stop])] if stop < len(words) else []
            )
            stop += 1
        return longest

    def _children(self, node: _Node, word: str) -> Iterator[_Node]:
        for form in self._forms_of(word) if word else ():
            if child := node.children.get(form):
                yield child

    def _forms_of(self, word: str) -> tuple[str, ...]:
        forms = self._forms.get(word)
        if forms is None:
            prefixes = [f"{prefix}*" for prefix in self._prefixes if word.startswith(prefix)]
            forms = self._forms[word] = tuple(dict.fromkeys([_key(word), lemma(word), *prefixes]))
        return forms


def _keys(phrase: str) -> list[str]:
    """The words of a phrase as keys of the index; only the last can end in `*`."""
    keys = [_key(word) for word in words(phrase)]
    if phrase.endswith("*") and keys:
        keys[-1] += "*"
    return keys


def _key(word: str) -> str:
    return "0" if word.isdigit() else word


def read_word_list(index: PhraseIndex, path: Path) -> None:
    """Add the phrases of a file to the index. Raises WordListError."""
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
                raise WordListError(f"{path} line {number}: {line!r} is not a category; write it as [name]")
            continue
        phrase = line.removeprefix(EXCEPTION).removeprefix("-")
        if not _keys(phrase) or "*" in phrase[:-1]:
            raise WordListError(
                f"{path} line {number}: {line!r} is not a word or phrase (* is allowed at the end only)"
            )
        index.add(phrase, EXCEPTION if line.startswith(EXCEPTION) else "" if line.startswith("-") else category)


def read_word_lists(paths: Iterable[Path]) -> PhraseIndex:
    """The index of the phrases of these files; later files override earlier ones. Raises WordListError."""
    index = PhraseIndex()
    for path in paths:
        read_word_list(index, path)
    return index
