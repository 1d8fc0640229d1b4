"""Whether the label that a response repeats is the label of the question.

A response repeats its label, so that an answer about something else is noticed. Models correct what they repeat: they
write `Albatross, Laysan` in its usual order, mend a typo, choose one of the names in `tench, Tinca tinca`, add the
sense. `echo_score` accepts what a person would read as the same label, and nothing that can be another one: another
number, another sense, or one more word.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence

from attributes.parsing.label_words import Words, folded, is_typo, without_article, words_of
from attributes.types import Label
from limbeck.shared.labels import MAX_DOMAIN_CHARS, MAX_LABEL_CHARS, MAX_SENSE_CHARS

_EXACT, _SAME_WORDS, _OTHER_ORDER, _SYNONYM, _TYPO = 6, 5, 4, 3, 1
_BRACKET = re.compile(r"^(?P<head>.*\S)\s*[(\[](?P<inside>[^()\[\]]+)[)\]]\s*$", re.DOTALL)
_SYNONYMS = re.compile(r"\s*[,;/|=]\s*|\s+(?:or|aka|a\.k\.a\.)\s+", re.IGNORECASE)
_FIELD_NAME = re.compile(r"\b(?:label|class|name|sense|domain)\s*[:=]\s*", re.IGNORECASE)
_SCIENTIFIC = re.compile(r"^[A-Z][a-z]+ [a-z-]+(?: [a-z-]+)?$")
_SUFFIXES = re.compile(r"(?<=\w)[+#]+")
_MIN_SYNONYM_CHARS = 3
_MAX_ECHO_CHARS = MAX_LABEL_CHARS + MAX_SENSE_CHARS + MAX_DOMAIN_CHARS + 100  # the whole subject as JSON


def echo_score(echo: str, label: Label, domain: str = "") -> int:
    """How well an LLM's text names the label; 0 if it is, or may be, another label."""
    if len(echo) > _MAX_ECHO_CHARS:
        return 0
    echo = _FIELD_NAME.sub("", _unwrapped(echo)).strip()
    if _is_exact(echo, str(label)):
        return _EXACT
    if not words_of(echo):
        return _EXACT - 1 if _is_exact(echo, label.name) else 0
    readings = [label]
    if label.sense is None and (bracket := _BRACKET.match(label.name)):
        readings.append(Label(bracket["head"], bracket["inside"]))
    return max(_score(echo, reading, domain) for reading in readings)


def is_swapped(labels: Sequence[Label], echoes: Sequence[str], domain: str = "") -> bool | None:
    """Whether a response names the two labels of a pair in the other order; None if it names others.

    If both orders fit, the better one counts, and the given order if they fit equally.
    """
    given, swapped = (
        [echo_score(echo, label, domain) for label, echo in zip(order, echoes, strict=True)]
        for order in (labels, labels[::-1])
    )
    if not all(given) and not all(swapped):
        return None
    return all(swapped) and (not all(given) or sum(swapped) > sum(given))


def _score(echo: str, label: Label, domain: str) -> int:
    if _is_exact(echo, label.name):
        return _EXACT - 1
    score = _name_score(echo, label, domain)
    if not score and (bracket := _BRACKET.match(echo)) and _fits(bracket["inside"], bracket["head"], label, domain):
        score = _name_score(bracket["head"], label, domain) or _name_score(bracket["inside"], label, domain)
    return score


def _name_score(echo: str, label: Label, domain: str) -> int:
    """How well a text without a sense in brackets is the name of the label."""
    if _is_exact(echo, label.name):
        return _SAME_WORDS
    if score := _words_score(echo, label.name):
        return score
    if _is_with_context(words_of(echo), words_of(label.name), words_of(label.sense or domain)):
        return _OTHER_ORDER
    names = synonyms(label.name)
    pieces = synonyms(echo)
    if len(pieces) > 1 and _SCIENTIFIC.match(pieces[-1]):
        pieces = [piece for piece in pieces if not _SCIENTIFIC.match(piece)] or pieces
        names = [label.name, *names]
    if len(names) > 1 or len(pieces) < len(synonyms(echo)):
        return min(_SYNONYM, *(max(_words_score(piece, name) for name in names) for piece in pieces))
    return 0


def _words_score(echo: str, name: str) -> int:
    """How well a text is one name: the same words, in another order, or with a typo."""
    if _suffixes(echo) != _suffixes(name):
        return 0
    one, other = without_article(words_of(echo)), without_article(words_of(name))
    if not one or not other:
        return 0
    if one == other or ("".join(one) == "".join(other) and _numbers(echo) == _numbers(name)):
        return _SAME_WORDS
    if sorted(one) == sorted(other):
        return _OTHER_ORDER
    if is_typo(one, other) or is_typo(tuple(sorted(one)), tuple(sorted(other))):
        return _TYPO
    return 0


def _is_with_context(echo: Words, name: Words, context: Words) -> bool:
    """Whether the echo is the name with words of its sense or domain: `crane bird`."""
    added = Counter(without_article(echo)) - Counter(without_article(name))
    missing = Counter(without_article(name)) - Counter(echo)
    return bool(added) and not missing and all(word.isalpha() and word in context for word in added)


def _fits(inside: str, head: str, label: Label, domain: str) -> bool:
    """Whether the text in brackets after a name says nothing else than the label."""
    words = {*without_article(words_of(inside))}
    if words <= {*words_of(label.name)}:
        return True
    sense = {*without_article(words_of(label.sense or ""))}
    if sense and (words <= sense or sense <= words):
        return True
    about = {*words_of(domain)}
    if words == about or (label.sense is None and words <= about):
        return True
    if any(_words_score(inside, name) for name in synonyms(label.name)[1:]):
        return True
    if label.sense is not None:
        return False
    if _words_score(inside, label.name):  # `Erithacus rubecula (robin)`
        return bool(_SCIENTIFIC.match(inside) or _SCIENTIFIC.match(head))
    return not domain or bool(_SCIENTIFIC.match(inside))


def synonyms(name: str) -> list[str]:
    """The names in `tench, Tinca tinca`; a name alone is the only one."""
    pieces = [piece.strip() for piece in _SYNONYMS.split(name)]
    return [piece for piece in pieces if len(folded(piece)) >= _MIN_SYNONYM_CHARS or not piece.isascii()] or [name]


def _is_exact(echo: str, name: str) -> bool:
    return folded(echo) == folded(name) and _suffixes(echo) == _suffixes(name)


def _suffixes(name: str) -> list[str]:
    """The signs that tell `C++` and `C#` from `C`."""
    return _SUFFIXES.findall(name)


def _numbers(name: str) -> list[str]:
    return re.findall(r"\d+", name)


def _unwrapped(echo: str) -> str:
    """The label of an echo that is the whole subject of the question: `{"label": "crane", "sense": "bird"}`."""
    if not echo.lstrip().startswith("{"):
        return echo
    try:
        subject = json.loads(echo)
    except (ValueError, RecursionError):
        return echo
    if not isinstance(subject, dict) or not isinstance(subject.get("label"), str):
        return echo
    sense = subject.get("sense")
    return str(Label(subject["label"], sense if isinstance(sense, str) and sense.strip() else None))
