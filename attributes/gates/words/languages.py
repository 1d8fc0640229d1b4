"""The language of each line of a set, because word lists and lemmas are English.

A line is judged by itself if it is long enough to be sure, else by the other lines of its label, else by the rest of
the set: `rote Krone` alone could be several languages. py3langid gives calibrated probabilities and needs no download.
"""

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier
from simplemma import is_known

from attributes.gates.words.lemmas import listed, words
from attributes.languages import language_code

ENGLISH = "en"
DETECTED = listed(
    "ar bg bn ca cs da de el en es et eu fa fi fr gu he hi hr hu hy id is it ja ka kk kn "
    "ko lt lv ml mr nl no pa pl pt ro ru sk sl sq sr sv sw ta te th tr uk ur vi zh"
)
"""ISO 639-1 codes of the languages that are distinguished. Another language counts as the most similar one."""

_SURE_LINE = 0.7  # of 8,000 published English phrases, one has this probability in another language
_SURE_LABEL = 0.6
_SURE_ENGLISH = 0.5
_SURE_ENGLISH_WORDS = 0.3  # of a text whose words are in the English dictionary
_SURE_UNKNOWN_WORDS = 0.3  # of a text whose words are mostly not in the English dictionary
_CLEARLY_ENGLISH = 0.8  # a label whose lines of English words need no look one by one
_KNOWN_SHARE = 0.75  # share of words in the English dictionary
_MAX_CHARS = 300  # of a label, and of a line
_MAX_SET_CHARS = 4_000
# Words that are frequent in English descriptions and are no words of other languages in Latin letters.
_ENGLISH_WORDS = listed("the with its which that their has have this they often usually typically while")
_FUNCTION_WORDS = _ENGLISH_WORDS | listed("a an and of on at for is are from")  # English ones, not all only English
_UNKNOWN = -1


@dataclass(frozen=True)
class LineLanguages:
    """The languages of all lines of a set, in the order in which they were added."""

    codes: Sequence[str]
    indices: "array[int]"  # one per line, into `codes`

    def of(self, lines: slice) -> list[str]:
        """The languages of these lines."""
        return [self.codes[index] for index in self.indices[lines]]

    @property
    def counts(self) -> Counter[str]:
        """The number of lines by language, most frequent first."""
        lines = Counter(self.indices)
        return Counter({self.codes[index]: count for index, count in lines.most_common()})


class LanguageDetector:
    """Collects the lines of all labels; `finish` returns their languages. `language`: the language that all lines are
    stated to have, or None."""

    def __init__(self, language: str | None = None) -> None:
        self._stated = language_code(language) if language else None
        self._codes: dict[str, int] = {}
        self._indices = array("b")
        self._labels: Counter[str] = Counter()  # labels by language, of those that are sure
        self._unsure: list[str] = []
        self._num_unsure_chars = 0

    def add(self, texts: Sequence[str]) -> None:
        """Add the lines of a label, without its name: a name may be in another language."""
        if self._stated is not None:
            self._indices.extend([self._index(self._stated)] * len(texts))
            return
        line_words = [words(text[:_MAX_CHARS]) for text in texts]
        of_label, is_clear = self._language_of_label(texts, line_words)
        if of_label is not None:
            self._labels[of_label] += 1
        for text, found in zip(texts, line_words, strict=True):
            code = ENGLISH if is_clear and _is_english(found) else _language_of_line(text, found, of_label)
            self._indices.append(_UNKNOWN if code is None else self._index(code))

    def finish(self) -> LineLanguages:
        """The languages of all lines."""
        if _UNKNOWN in self._indices:
            default = self._index(self._language_of_set())
            self._indices = array("b", [default if index == _UNKNOWN else index for index in self._indices])
        return LineLanguages(tuple(self._codes), self._indices)

    def _index(self, code: str) -> int:
        return self._codes.setdefault(code, len(self._codes))

    def _language_of_label(self, texts: Sequence[str], line_words: Sequence[Sequence[str]]) -> tuple[str | None, bool]:
        """The language of most lines of a label, None if it is unsure; and whether that is clearly English."""
        frequent = _ENGLISH_WORDS.intersection(word for found in line_words for word in found)
        if len(frequent) > 1 and sum(map(_is_english, line_words)) > len(line_words) / 2:
            return ENGLISH, True
        joined = ", ".join(texts)[:_MAX_CHARS]
        code, share = _most_likely(joined)
        if _is_sure(code, share, words(joined), _SURE_LABEL):
            return code, code == ENGLISH and share >= _CLEARLY_ENGLISH
        if self._num_unsure_chars < _MAX_SET_CHARS:
            self._unsure.append(joined)
            self._num_unsure_chars += len(joined)
        return None, False

    def _language_of_set(self) -> str:
        """The language of most labels that are sure. If there are none, that of all texts joined."""
        if self._labels:
            return self._labels.most_common(1)[0][0]
        joined = ", ".join(self._unsure)
        found = words(joined)
        looks_english = _is_english(found) and not _FUNCTION_WORDS.isdisjoint(found)
        if looks_english or not any(character.isalpha() for character in joined):
            return ENGLISH
        return _most_likely(joined)[0]


def _language_of_line(text: str, found: Sequence[str], of_label: str | None) -> str | None:
    """The language of a line with the words `found`; None if both the line and its label are unsure."""
    code, share = _most_likely(text[:_MAX_CHARS])
    return code if _is_sure(code, share, found, _SURE_LINE) else of_label


def _is_sure(code: str, share: float, found: Sequence[str], sure: float) -> bool:
    """Whether a text with the words `found` is in the language that py3langid names with the probability `share`.

    English words need less probability to be English, and are never sure to be of another language.
    """
    if code == ENGLISH:
        return share >= (_SURE_ENGLISH_WORDS if _is_english(found) else _SURE_ENGLISH)
    if _is_english(found):
        return False
    num_known = sum(map(_is_english_word, found))
    return share >= sure or (share >= _SURE_UNKNOWN_WORDS and len(found) > 1 and num_known < len(found) / 2)


def _is_english(found: Sequence[str]) -> bool:
    """Whether most of the words are in the English dictionary."""
    return sum(map(_is_english_word, found)) >= _KNOWN_SHARE * len(found)


@lru_cache(maxsize=2**16)
def _is_english_word(word: str) -> bool:
    return not word.isalpha() or is_known(word, lang=ENGLISH)


@lru_cache(maxsize=2**14)
def _most_likely(text: str) -> tuple[str, float]:
    """The most likely language of a text and its probability; probability 0 for a text without a letter."""
    if not any(character.isalpha() for character in text):
        return ENGLISH, 0.0
    code, share = _identifier().classify(text)
    return code, share


@cache
def _identifier() -> LanguageIdentifier:
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(sorted(DETECTED))
    return identifier
