"""Words as the gates compare them: folded, lemmatised (simplemma), without stop words.

The *meaning* of a text is the bag of its lemmas and their grouping into chunks. `white head, black stripe` differs from
`black head, white stripe`: the bags are equal, the chunks are not. `pointed long wings` equals `wings that are long and
pointed`. Two texts have the same meaning if their bags are equal and either their chunks are equal or one text is a
single chunk: `white-barred wings` equals `wings with white bars`.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from simplemma import lemmatize

UNSPACED = "\u3040-\u30ff\u3400-\u9fff"
"""Ranges of the characters of Chinese and Japanese, which are written without spaces: each counts as a word."""
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_WORD_OR_CHARACTER = re.compile(rf"[{UNSPACED}]|(?:(?![{UNSPACED}])[^\W_])+(?:['’](?:(?![{UNSPACED}])[^\W_])+)*")
_UNSPACED_RUN = re.compile(rf"[{UNSPACED}]+")
_WORD_OR_MARK = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|[,;:.!?()]")
_HYPHENATED = re.compile(r"[^\W_]+(?:-[^\W_]+)*")
_CLAUSE_END = re.compile(
    r"[;:.!?](?=\s|$)|[,\s]\s*(?:and|but|while|with|as well as)\s+(?=(?:an?|the|its|their|his|her|one|two|three)\s)"
    r"|,\s+(?=(?:an?|the|its|their|his|her|one|two|three)\s)|,\s+(?:with|and|but|while)\s+",
    re.IGNORECASE,
)


def listed(text: str) -> frozenset[str]:
    """The words of a list that is written as one string."""
    return frozenset(text.split())


# Spelling variants that sets mix.
_SPELLINGS = {"grey": "gray", "colour": "color", "moustache": "mustache", "centre": "center", "wingbar": "wing bar"}
_STOP = listed(
    "a an the this that these those which who whose it its his her their there he she they and or but nor as is are be "
    "been being was were has have had having do does can may also very quite rather so such some any each other both "
    "overall typically usually often generally characterized distinctive distinct unique appearance"
)
# A linking word starts a new chunk.
_LINKING_WORDS = listed(
    "with without on upon in inside at around above over below under beneath near behind through along across down up "
    "from to into of by between against toward towards for while"
)
_DETERMINERS = listed("a an the its their his her")
_SEPARATORS = frozenset(",;:.!?()") | {"and", "or", "but"}


class Meaning(NamedTuple):
    """64-bit hashes of a text's lemmas, to compare within one process: of the bag and of the chunks. `single`: the text
    is one chunk."""

    bag: int
    chunks: int
    single: bool


def words(text: str) -> list[str]:
    """The words in order, folded; split at hyphens, without a possessive `'s`."""
    folded = text.casefold()
    found: list[str] = word_pattern(folded).findall(folded)
    if "'" in folded or "’" in folded:
        return [word[:-2] if word.endswith(("'s", "’s")) else word for word in found]
    return found


def word_pattern(text: str) -> re.Pattern[str]:
    """The pattern of a word in this text."""
    return _WORD if text.isascii() else _WORD_OR_CHARACTER


def hyphenated_words(text: str) -> list[str]:
    """The words in order, folded; not split at hyphens, so that a blue-gray head is not a blue head. Of Chinese and
    Japanese, pairs of characters."""
    folded = text.casefold()
    if folded.isascii():
        return _HYPHENATED.findall(folded)
    runs = _UNSPACED_RUN.findall(folded)
    pairs = [run[at : at + 2] for run in runs for at in range(max(1, len(run) - 1))]
    return [*_HYPHENATED.findall(_UNSPACED_RUN.sub(" ", folded)), *pairs]


@lru_cache(maxsize=2**15)
def lemma(word: str) -> str:
    """The dictionary form of a folded English word; the singular if the word is unknown; "" for ""."""
    if not word:
        return word
    found = lemmatize(word, lang="en")
    if found == word and len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        found = lemmatize(word[:-1], lang="en")
    return _SPELLINGS.get(found, found)


@lru_cache(maxsize=2**15)
def singular(word: str) -> str:
    """The singular of a folded word; a word that is not a plural is returned unchanged."""
    found = lemma(word)
    if found == word or not word.endswith("s"):
        return found if word in _IRREGULAR else word
    return found


_IRREGULAR = listed("geese mice feet teeth men women children oxen dice lice")


@lru_cache(maxsize=2**14)
def meaning(text: str) -> Meaning:
    """The meaning of a text, independent of word order, number and stop words."""
    chunks: list[set[str]] = [set()]
    after_separator = False
    for token in _WORD_OR_MARK.findall(text.casefold()):
        role, lemmas = _ROLES.get(token) or _role(token)
        if role is _SEPARATOR:
            after_separator = True
            continue
        if role is _LINKING or (after_separator and role is _DETERMINER):
            chunks.append(set())
        after_separator = False
        chunks[-1].update(lemmas)
    grouped = [tuple(sorted(chunk)) for chunk in chunks if chunk]
    if len(grouped) == 1:
        single = hash(grouped[0])
        return Meaning(single, single, True)
    bag = tuple(sorted({word for chunk in grouped for word in chunk}))
    return Meaning(hash(bag), hash(tuple(sorted(grouped))), len(grouped) < 2)


_CONTENT, _SEPARATOR, _LINKING, _DETERMINER = range(4)
_ROLES: dict[str, tuple[int, tuple[str, ...]]] = {}  # token -> (role, lemmas), a cache
_MAX_ROLES = 2**16


def _role(token: str) -> tuple[int, tuple[str, ...]]:
    lemmas: tuple[str, ...] = ()
    if token in _SEPARATORS:
        role = _SEPARATOR
    elif token in _LINKING_WORDS:
        role, lemmas = _LINKING, ((token,) if token in _NEGATING else ())
    elif token in _STOP:
        role = _DETERMINER if token in _DETERMINERS else _CONTENT
    else:
        role, lemmas = _CONTENT, tuple(lemma(token.removesuffix("'s").removesuffix("’s")).split())
    if len(_ROLES) < _MAX_ROLES:
        _ROLES[token] = role, lemmas
    return role, lemmas


_NEGATING = frozenset({"without"})


def clauses(sentence: str) -> Iterator[str]:
    """The clauses of a sentence, one attribute each; split before another article, at `with` and at full stops."""
    for piece in _CLAUSE_END.split(sentence):
        if any(character.isalnum() for character in piece):
            yield piece.strip(" ,")
