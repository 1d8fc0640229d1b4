"""Assigns the entries of a file to the labels of a vocabulary, and reports how each was matched.

An entry that the map names goes to the labels that the map gives it. The others are matched by
`limbeck.shared.label_matching`. A label takes the entry of the most certain rule: map, exact, normalised, shared by
several senses. No entry is lost silently: an entry without a label, or whose labels all have a better entry, is a
fault.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from limbeck.shared.attribute_files.reading import MAX_FAULTS
from limbeck.shared.label_matching import LabelIndex, unmatched_detail
from limbeck.shared.labels import LabelPair, fold, quoted, readings, written

LabelMap = Mapping[str, str | Sequence[str] | None]
"""Label of a file -> label, or labels, of the vocabulary; None leaves the entry out."""


class Rule(IntEnum):
    """How an entry was matched; a smaller number is more certain."""

    MAP = 0
    EXACT = 1
    NORMALIZED = 2
    SHARED = 3


@dataclass(frozen=True, slots=True)
class MatchedEntry:
    """An entry (its position in the file) and the labels (positions in the vocabulary) that take it."""

    entry: int
    labels: tuple[int, ...]
    rule: Rule


@dataclass(kw_only=True)
class Assignment:
    """`entry_of`: for each label its entry, or None. `faults`: (entry or None for a fault of the map, detail).

    At most 20 faults have details; `num_faults` counts all. `left_out`: entries that the map leaves out.
    """

    entry_of: list[int | None]
    matched: list[MatchedEntry] = field(default_factory=list)
    faults: list[tuple[int | None, str]] = field(default_factory=list)
    num_faults: int = 0
    left_out: list[int] = field(default_factory=list)

    def of_rule(self, rule: Rule) -> list[MatchedEntry]:
        """The entries that were matched by this rule."""
        return [one for one in self.matched if one.rule is rule]


def assign(entries: Sequence[LabelPair], labels: Sequence[LabelPair], mapping: LabelMap | None = None) -> Assignment:
    """Assign entries to labels, both given as (name, sense)."""
    return _Assigner(entries, labels).assign(mapping or {})


def rename(entries: Sequence[LabelPair], mapping: LabelMap) -> tuple[list[LabelPair | None], list[str]]:
    """(the labels of a new vocabulary, faults of the map): entries that the map does not name keep their labels.

    None stands for an entry that the map leaves out.
    """
    targets = {fold(key): target for key, target in mapping.items()}
    names = {fold(written(*entry)) for entry in entries}
    faults = [_unknown_key(key) for key in mapping if fold(key) not in names]
    labels: list[LabelPair | None] = []
    for entry in entries:
        target = targets.get(fold(written(*entry)), written(*entry))
        if target is None or isinstance(target, str):
            labels.append(None if target is None else entry if target == written(*entry) else label_of_text(target))
        else:
            faults.append(f"the map gives {quoted(written(*entry))} a list; a new vocabulary takes one label per entry")
    return labels, faults


def label_of_text(text: str) -> LabelPair:
    """The label that a map writes as `name` or `name (sense)`."""
    return readings(text)[1] if len(readings(text)) > 1 else (text, None)


class _Assigner:
    def __init__(self, entries: Sequence[LabelPair], labels: Sequence[LabelPair]) -> None:
        self.entries, self.labels = entries, labels
        self.index = LabelIndex(labels)
        self.result = Assignment(entry_of=[None] * len(labels))

    def assign(self, mapping: LabelMap) -> Assignment:
        found = {**dict(self._matched(mapping)), **dict(self._mapped(mapping))}
        best: dict[int, list[int]] = {}
        for entry, (positions, rule) in found.items():
            for position in positions:
                rivals = best.get(position, [])
                if not rivals or rule < found[rivals[0]][1]:
                    best[position] = [entry]
                elif rule == found[rivals[0]][1]:
                    rivals.append(entry)
        for entry, (positions, rule) in sorted(found.items()):
            self._settle(entry, positions, rule, best)
        return self.result

    def fault(self, entry: int | None, detail: str) -> None:
        self.result.num_faults += 1
        if len(self.result.faults) < MAX_FAULTS:
            self.result.faults.append((entry, detail))

    def _settle(self, entry: int, positions: tuple[int, ...], rule: Rule, best: Mapping[int, list[int]]) -> None:
        taken = tuple(at for at in positions if best[at] == [entry])
        for at in taken:
            self.result.entry_of[at] = entry
        if taken:
            self.result.matched.append(MatchedEntry(entry, taken, rule))
            return
        rival = next(one for one in best[positions[0]] if one != entry)
        label = quoted(written(*self.labels[positions[0]]))
        detail = f"label {self._name(entry)} and {self._name(rival)} are both about {label}; name one in the map"
        self.fault(entry, detail)

    def _matched(self, mapping: LabelMap) -> Iterator[tuple[int, tuple[tuple[int, ...], Rule]]]:
        mapped = {fold(key) for key in mapping}
        for entry, label in enumerate(self.entries):
            if fold(written(*label)) in mapped:
                continue
            match = self.index.match(*label)
            if match.positions:
                several = len(match.positions) > 1
                yield entry, (match.positions, Rule.SHARED if several else Rule[match.rule.upper()])
            elif match.ambiguous:
                listed = ", ".join(quoted(written(*self.labels[at])) for at in match.ambiguous[:5])
                self.fault(entry, f"label {self._name(entry)} fits several labels: {listed}; name one in the map")
            else:
                is_shown = len(self.result.faults) < MAX_FAULTS
                near = self.index.near(written(*label)) if is_shown else ()
                self.fault(entry, unmatched_detail(written(*label), near))

    def _mapped(self, mapping: LabelMap) -> Iterator[tuple[int, tuple[tuple[int, ...], Rule]]]:
        names = {fold(written(*label)): entry for entry, label in enumerate(self.entries)}
        for key, target in mapping.items():
            entry = names.get(fold(key))
            if entry is None:
                self.fault(None, _unknown_key(key))
                continue
            if target is None:
                self.result.left_out.append(entry)
                continue
            positions: list[int] = []
            for one in _targets(target):
                if found := self.index.match(one).positions:
                    positions += found
                else:
                    unknown = unmatched_detail(one, self.index.near(one))
                    self.fault(entry, f"the map gives {quoted(key)} an unknown {unknown}")
            if positions:
                yield entry, (tuple(dict.fromkeys(positions)), Rule.MAP)

    def _name(self, entry: int) -> str:
        return quoted(written(*self.entries[entry]))


def _unknown_key(key: str) -> str:
    return f"the map names {quoted(key)}, which is not a label of the file"


def _targets(target: str | Sequence[str] | None) -> Sequence[str]:
    return [target] if isinstance(target, str) else target or ()
