"""Which label of a vocabulary an entry of a file is about: the one rule for imports and `python -m distill`.

Published files spell labels differently from the data sets: `Black-footed Albatross` is `001.Black_footed_Albatross`,
`Chuck-will's-widow` is `Chuck_will_Widow`. An entry matches in this order; the first rule that finds a label decides:

1. exactly: name and sense, ignoring case only if nothing has the same case; or written as `name (sense)`;
2. as data sets are normalised: a leading `012.` removed, hyphens and underscores as spaces, without case;
3. also without accents, apostrophes and punctuation, and with `and` for `&`;
4. without the possessive 's (`Brandt's Cormorant` is CUB's `Brandt_Cormorant`);
5. by one of several names: `tench, Tinca tinca`; the first name before the others;
6. without any spaces (`hot dog`, `hotdog`);
7. without the sense, if only the entry or only the label has one.

A rule that finds several labels is ambiguous, and decides nothing. An exception are labels that share the entry's name
and differ by sense: an entry without a sense is about each of them. Plurals and the order of words are never changed.
"""

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from limbeck.shared.label_files.identifiers import id_kind
from limbeck.shared.labels import LabelPair, fold, label_key, quoted, readings, written
from limbeck.shared.labels import dataset_form as dataset_form
from limbeck.shared.labels import without_number as without_number

MatchRule = Literal["exact", "normalized", "map"]
_IDENTIFIER = re.compile(
    r"n\d{8}|\d+|/[mg]/\w+|Q\d+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=\w*\d)[0-9a-f]{12,}", re.IGNORECASE
)
_OTHER_KINDS = ("file name", "url", "synset", "placeholder")  # of `id_kind`
_MAX_COMPARED = 500


@dataclass(frozen=True, slots=True)
class LabelMatch:
    """The positions of the labels that an entry is about, and by which rule. `ambiguous`: positions that tie.

    Several positions are labels of one name with different senses.
    """

    positions: tuple[int, ...] = ()
    rule: MatchRule = "exact"
    ambiguous: tuple[int, ...] = ()


def is_identifier(text: str) -> bool:
    """Whether the text is an identifier, such as n02012849, /m/01g317, 17 or 0001.jpg, and no word."""
    return _IDENTIFIER.fullmatch(text.strip()) is not None or id_kind(text) in _OTHER_KINDS


def loose_form(name: str) -> str:
    """`dataset_form` without accents, apostrophes and punctuation, and with `and` for `&`."""
    decomposed = unicodedata.normalize("NFKD", dataset_form(name)).replace("&", " and ").casefold()
    kept = (
        character if character.isalnum() else "" if character in "'’‘`´ʼ" else " "
        for character in decomposed
        if not unicodedata.combining(character)
    )
    return " ".join("".join(kept).split())


class LabelIndex:
    """Finds the labels of a vocabulary, given as (name, sense), that entries of a file are about."""

    def __init__(self, labels: Sequence[LabelPair]) -> None:
        self.labels = labels
        self._rules: list[tuple[Mapping[str, list[int]], Callable[[LabelPair], Iterable[str]]]] = []
        for form in (dataset_form, loose_form, _without_possessive):
            self._add_rule(_written_in(form), _written_in(form))
        self._add_rule(_first_name, _first_name)
        self._add_rule(_all_names, _first_name)
        self._add_rule(_first_name, _all_names)
        self._add_rule(_compact, _compact)
        self._exact = _index(labels, lambda label: {written(*label)})
        self._folded = _index(labels, lambda label: {fold(written(*label))})
        self._keys = {label_key(*label): at for at, label in enumerate(labels)}
        self._names = _index(labels, lambda label: {fold(label[0])})
        self._loose_names = _index(labels, lambda label: {loose_form(label[0])})

    def match(self, name: str, sense: str | None = None) -> LabelMatch:
        """The labels that an entry of this name and sense is about."""
        if found := self._exactly(name, sense):
            return found
        pairs = [(name, sense)] if sense else readings(name)
        for index, forms in self._rules:
            found_at = {at for form in forms(pairs[0]) if form for at in index.get(form, ())}
            if found_at:
                return self._decide(found_at)
        return self._without_sense(pairs)

    def near(self, name: str, *, limit: int = 3) -> list[str]:
        """The most similar labels, for an error message."""
        wanted = loose_form(name)
        names = list(self._loose_names)
        if len(names) > 2 * _MAX_COMPARED:
            words = set(wanted.split())
            with_word = [one for one in names if words & set(one.split())]
            alike = [one for one in names if one[:3] == wanted[:3] and abs(len(one) - len(wanted)) < 3]
            names = list(dict.fromkeys(with_word[:_MAX_COMPARED] + alike[:_MAX_COMPARED]))
        close = difflib.get_close_matches(wanted, names, n=limit, cutoff=0.6)
        found = dict.fromkeys(written(*self.labels[at]) for one in close for at in self._loose_names[one])
        return list(found)[:limit]

    def _exactly(self, name: str, sense: str | None) -> LabelMatch | None:
        text = written(name, sense)
        for index in (self._exact, self._folded):
            if found := index.get(text if index is self._exact else fold(text)):
                return LabelMatch((found[0],)) if len(found) == 1 else LabelMatch(ambiguous=tuple(found))
        if (position := self._keys.get(label_key(name, sense))) is not None:
            return LabelMatch((position,))
        if not sense and (found := self._names.get(fold(name))):
            same_case = [at for at in found if self.labels[at][0] == name] or found
            return LabelMatch(tuple(same_case), "exact" if len(same_case) > 1 else "normalized")
        return None

    def _decide(self, found: set[int]) -> LabelMatch:
        positions = tuple(sorted(found))
        names = {fold(self.labels[at][0]) for at in positions}
        is_one = len(positions) == 1 or (len(names) == 1 and all(self.labels[at][1] for at in positions))
        return LabelMatch(positions, "normalized") if is_one else LabelMatch(ambiguous=positions)

    def _without_sense(self, pairs: Sequence[LabelPair]) -> LabelMatch:
        """Only the entry has a sense, or only the labels have one."""
        for name, sense in pairs:
            found = self._loose_names.get(loose_form(name), [])
            matching = [at for at in found if not sense or not self.labels[at][1]]
            if matching:
                return self._decide(set(matching))
        return LabelMatch()

    def _add_rule(
        self, of_label: Callable[[LabelPair], Iterable[str]], of_entry: Callable[[LabelPair], Iterable[str]]
    ) -> None:
        self._rules.append((_index(self.labels, of_label), of_entry))


def without_labels(names: Iterable[str], labels: Iterable[str]) -> list[str]:
    """The names that are none of the labels, each once, as folder names are compared: `Great_Tit` is `great tit`.

    A label with a sense, such as `crane (bird)`, is called `crane` too.
    """
    known = {dataset_form(name) for label in labels for name, _ in readings(label)}
    by_form: dict[str, str] = {}
    for name in names:
        by_form.setdefault(dataset_form(name), name)
    return [name for form, name in by_form.items() if form not in known]


def _without_possessive(name: str) -> str:
    return loose_form(re.sub(r"['’]s(?![^\W_])", "", name))


def unmatched_detail(name: str, near: Sequence[str]) -> str:
    """The message for an entry that no label matches."""
    hint = f"; near: {', '.join(map(quoted, near))}" if near else ""
    return f"label {quoted(name)} is not in the vocabulary{hint}"


def _written_in(form: Callable[[str], str]) -> Callable[[LabelPair], Iterable[str]]:
    return lambda label: {form(written(*label))}


def _first_name(label: LabelPair) -> Iterable[str]:
    name, sense = label
    return {loose_form(written(_names(name)[0], sense))}


def _all_names(label: LabelPair) -> Iterable[str]:
    name, sense = label
    return {loose_form(written(one, sense)) for one in _names(name)}


def _compact(label: LabelPair) -> Iterable[str]:
    return {loose_form(written(*label)).replace(" ", "")}


def _names(name: str) -> list[str]:
    return [part for one in re.split(r"[,;|]", name) if (part := one.strip())] or [name]


def _index(labels: Sequence[LabelPair], forms: Callable[[LabelPair], Iterable[str]]) -> dict[str, list[int]]:
    index: dict[str, list[int]] = {}
    for position, label in enumerate(labels):
        for form in forms(label):
            index.setdefault(form, []).append(position)
    return index
