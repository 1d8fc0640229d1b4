"""Words as the gates compare them: folded, lemmatised (simplemma), in the singular, without those that say nothing.

A text's *meaning* is the bag of its lemmas, and how they are bound: `white head, black stripe` is no `black head, white
stripe`, though the bag is the same, while `pointed long wings` is `wings that are long and pointed`. Two texts say the
same where their bags agree and their bindings do too, or where one of them binds nothing (it is a single chunk):
`white-barred wings` is `wings with white bars`.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from simplemma import lemmatize

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_WORD_OR_STOP = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|[,;:.!?()]")
_HYPHENED = re.compile(r"[^\W_]+(?:-[^\W_]+)*")
_CLAUSE_END = re.compile(
    r"[;:.!?](?=\s|$)|[,\s]\s*(?:and|but|while|with|as well as)\s+(?=(?:an?|the|its|their|his|her|one|two|three)\s)"
    r"|,\s+(?=(?:an?|the|its|their|his|her|one|two|three)\s)|,\s+(?:with|and|but|while)\s+",
    re.IGNORECASE,
)


def listed(text: str) -> frozenset[str]:
    """The words of a list that is written as text."""
    return frozenset(text.split())


# English has one word for these in two spellings, and sets mix them.
_SPELLINGS = {"grey": "gray", "colour": "color", "moustache": "mustache", "centre": "center", "wingbar": "wing bar"}
_STOP = listed(
    "a an the this that these those which who whose it its his her their there he she they and or but nor as is are be "
    "been being was were has have had having do does can may also very quite rather so such some any each other both "
    "overall typically usually often generally characterized distinctive distinct unique appearance"
)
# What binds words to each other: the words after one of these belong together, and apart from those before.
_BINDERS = listed(
    "with without on upon in inside at around above over below under beneath near behind through along across down up "
    "from to into of by between against toward towards for while"
)
_DETERMINERS = listed("a an the its their his her")
_SEPARATORS = frozenset(",;:.!?()") | {"and", "or", "but"}


class Meaning(NamedTuple):
    """What a text says, for comparing within one process: hashes of 64 bits; see the module for `bound`."""

    bag: int
    bound: int
    single: bool


def words(text: str) -> list[str]:
    """The words in order, folded; hyphens part them, a possessive `'s` is dropped."""
    folded = text.casefold()
    found: list[str] = WORD.findall(folded)
    if "'" in folded or "’" in folded:
        return [word[:-2] if word.endswith(("'s", "’s")) else word for word in found]
    return found


def hyphened_words(text: str) -> list[str]:
    """The words in order, folded; hyphens hold them together, so that a blue-gray head is no blue one."""
    return _HYPHENED.findall(text.casefold())


@lru_cache(maxsize=2**15)
def lemma(word: str) -> str:
    """The dictionary form of a folded English word; of one unknown, the singular; of a gap, a gap."""
    if not word:
        return word
    found = lemmatize(word, lang="en")
    if found == word and len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        found = lemmatize(word[:-1], lang="en")
    return _SPELLINGS.get(found, found)


@lru_cache(maxsize=2**15)
def singular(word: str) -> str:
    """The singular of a folded word, whatever else it may be; a word that is no plural stays."""
    found = lemma(word)
    if found == word or not word.endswith("s"):
        return found if word in _IRREGULAR else word
    return found


_IRREGULAR = listed("geese mice feet teeth men women children oxen dice lice")


@lru_cache(maxsize=2**14)
def meaning(text: str) -> Meaning:
    """What the text says, in any order of its words, plural or singular, and whatever fills it up."""
    chunks: list[set[str]] = [set()]
    apart = False
    for token in _WORD_OR_STOP.findall(text.casefold()):
        role, said = _ROLES.get(token) or _role(token)
        if role is _SEPARATES:
            apart = True
            continue
        if role is _BINDS or (apart and role is _DETERMINES):
            chunks.append(set())
        apart = False
        chunks[-1].update(said)
    bound = [tuple(sorted(chunk)) for chunk in chunks if chunk]
    if len(bound) == 1:
        single = hash(bound[0])
        return Meaning(single, single, True)
    bag = tuple(sorted({word for chunk in bound for word in chunk}))
    return Meaning(hash(bag), hash(tuple(sorted(bound))), len(bound) < 2)


_SAYS, _SEPARATES, _BINDS, _DETERMINES = range(4)
_ROLES: dict[str, tuple[int, tuple[str, ...]]] = {}  # what each token does, and the lemmas that it says
_MAX_ROLES = 2**16


def _role(token: str) -> tuple[int, tuple[str, ...]]:
    said: tuple[str, ...] = ()
    if token in _SEPARATORS:
        role = _SEPARATES
    elif token in _BINDERS:
        role, said = _BINDS, ((token,) if token in _NEGATING else ())
    elif token in _STOP:
        role = _DETERMINES if token in _DETERMINERS else _SAYS
    else:
        role, said = _SAYS, tuple(lemma(token.removesuffix("'s").removesuffix("’s")).split())
    if len(_ROLES) < _MAX_ROLES:
        _ROLES[token] = role, said
    return role, said


_NEGATING = frozenset({"without"})


def clauses(sentence: str) -> Iterator[str]:
    """The pieces of a sentence that each say one thing: they end before another article, `with` or full stop."""
    for piece in _CLAUSE_END.split(sentence):
        if any(character.isalnum() for character in piece):
            yield piece.strip(" ,")
