"""Second pass over a set: the violations of each label, found line by line with the counts of the first pass."""

from collections.abc import Iterable, Sequence
from itertools import compress

from attributes.gates.criteria import GateCriteria
from attributes.gates.gate_results import Tally
from attributes.gates.label_names import NameIndex, name_words, without_name
from attributes.gates.set_counts import SetCounts
from attributes.gates.statements import statements
from attributes.gates.types import Gate, LineViolation, Violation
from attributes.gates.words.languages import ENGLISH
from attributes.gates.words.word_lists import PhraseIndex
from attributes.meta_text import META_KINDS, talks_about_task
from attributes.types import Entry, Line

_LINE_GATES: tuple[Gate, ...] = ("length", "meta", "names", "comparatives", "nonvisual")


class _EntryViolations:
    """The line violations of one entry by gate; the id of a line is computed once."""

    __slots__ = ("_entry", "_ids", "_lines")

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._ids: dict[int, str] = {}
        self._lines: dict[Gate, list[LineViolation]] = {}

    def add(self, gate: Gate, index: int, words: Iterable[str]) -> None:
        """Add the line at `index` with the words (or the reason) that violate the gate."""
        line = self._entry.lines[index]
        if index not in self._ids:
            self._ids[index] = line.id
        call = "" if line.is_protected else line.call
        self._lines.setdefault(gate, []).append(LineViolation(self._ids[index], line.text, tuple(words), call))

    def of(self, gate: Gate) -> tuple[LineViolation, ...]:
        """The lines that violate the gate."""
        return tuple(self._lines.get(gate, ()))


class ViolationFinder:
    """Evaluates entries in order and adds their violations to a tally. Each entry must be passed exactly once."""

    def __init__(self, criteria: GateCriteria, counts: SetCounts, tally: Tally) -> None:
        self._criteria, self._counts, self._tally = criteria, counts, tally
        self._names = NameIndex(counts.labels)
        self._next_line = self._next_attribute = 0  # offsets into the counts of the first pass

    def evaluate(self, position: int, entry: Entry) -> None:
        """Evaluate the entry of the label at `position`."""
        lines = slice(self._next_line, self._next_line + len(entry.lines))
        self._next_line = lines.stop
        attributes_per_line = self._counts.attributes_per_line[lines]
        attributes = slice(self._next_attribute, self._next_attribute + sum(attributes_per_line))
        self._next_attribute = attributes.stop
        languages = self._counts.languages.of(lines)

        self._tally.num_described += bool(entry.lines)
        self._tally.add_languages(languages)
        found = _EntryViolations(entry)
        self._evaluate_lines(position, entry, found, languages)
        self._evaluate_verbatim(position, entry, found, lines)
        self._evaluate_attributes(position, entry, found, attributes, attributes_per_line, languages)
        self._evaluate_near_duplicates(position, entry.label)
        self._evaluate_margin(position, entry.label)

    def _evaluate_lines(self, position: int, entry: Entry, found: _EntryViolations, languages: Sequence[str]) -> None:
        """The gates that look at one line at a time."""
        own_name = name_words(entry.label)
        comparatives = self._criteria.word_lists.comparatives
        named: list[str] = []
        for index, (line, language) in enumerate(zip(entry.lines, languages, strict=True)):
            _, words = without_name(line.text, own_name)
            if kind := talks_about_task(line.text, entry.label):
                found.add("meta", index, [META_KINDS[kind]])
            if language == ENGLISH:
                if phrases := self._nonvisual(line, words, own_name):
                    found.add("nonvisual", index, phrases)
                if phrases := _matches(comparatives, words):
                    found.add("comparatives", index, phrases)
            if others := list(self._names.named_in(words, own_name, entry.sense)):
                found.add("names", index, others)
                named += others
        for index, num_tokens in self._counts.too_long.get(position, ()):
            found.add("length", index, [f"{num_tokens} tokens"])
        for gate in _LINE_GATES:
            if lines := found.of(gate):
                others = list(dict.fromkeys(named)) if gate == "names" else []
                self._tally.add(Violation(gate, position, entry.label, len(lines), lines, tuple(others)))

    def _nonvisual(self, line: Line, words: Sequence[str], own_name: Sequence[str]) -> list[str]:
        phrases = _matches(self._criteria.word_lists.nonvisual, words) or list(statements(line.text, own_name))
        if phrases and line.text in self._criteria.visible_texts:
            self._tally.num_cleared += 1
            return []
        return phrases

    def _evaluate_verbatim(self, position: int, entry: Entry, found: _EntryViolations, lines: slice) -> None:
        num_labels = self._counts.verbatim.num_labels[lines].tolist()
        shared = [(index, count) for index, count in enumerate(num_labels) if count > 1]
        self._tally.num_lines["verbatim"] += len(shared)
        self._tally.num_without_own_line += bool(num_labels) and len(shared) == len(num_labels)
        if len(shared) > self._criteria.thresholds.shared * len(num_labels):
            for index, count in shared:
                found.add("verbatim", index, [_shared_with(count)])
            share, note = len(shared) / len(num_labels), f"{len(shared)} of {len(num_labels)} lines"
            violation = Violation("verbatim", position, entry.label, share, found.of("verbatim"), (), note)
            self._tally.add(violation, count_lines=False)

    def _evaluate_attributes(
        self,
        position: int,
        entry: Entry,
        found: _EntryViolations,
        attributes: slice,
        attributes_per_line: Sequence[int],
        languages: Sequence[str],
    ) -> None:
        """The gates `shared` and `own`, on attributes of English lines, which are compared by meaning.

        A label with a line in another language is not judged by `own`: that line may be the one that is its own.
        """
        counts = self._counts.by_meaning
        is_judged: list[bool] = []  # one per attribute
        start = attributes.start
        for index, (num_attributes, language) in enumerate(zip(attributes_per_line, languages, strict=True)):
            most = max(counts.num_labels[start : start + num_attributes].tolist(), default=1)
            start += num_attributes
            is_judged += [language == ENGLISH] * num_attributes
            if most > 1 and language == ENGLISH:
                found.add("shared", index, [_shared_with(most)])
        lines = found.of("shared")
        num_labels = list(compress(counts.num_labels[attributes].tolist(), is_judged))
        num_shared = sum(count > 1 for count in num_labels)
        self._tally.num_attributes += len(num_labels)
        self._tally.num_lines["shared"] += num_shared
        if num_shared > self._criteria.thresholds.shared * len(num_labels):
            share, note = num_shared / len(num_labels), f"{num_shared} of {len(num_labels)} attributes"
            self._tally.add(Violation("shared", position, entry.label, share, lines, (), note), count_lines=False)
        if all(language == ENGLISH for language in languages):
            own = [key for key, count in zip(counts.keys[attributes].tolist(), num_labels, strict=True) if count == 1]
            self._evaluate_own(position, entry, len(set(own)), lines)

    def _evaluate_own(self, position: int, entry: Entry, num_own: int, lines: tuple[LineViolation, ...]) -> None:
        self._tally.num_judged_by_own += bool(entry.lines)
        self._tally.num_without_own += num_own == 0
        if num_own < self._criteria.thresholds.min_own:
            note = f"{num_own} own attribute{'' if num_own == 1 else 's'}" if entry.lines else "no lines"
            self._tally.add(Violation("own", position, entry.label, -num_own, lines, (), note))

    def _evaluate_near_duplicates(self, position: int, label: str) -> None:
        if nearest := self._counts.near_duplicates.get(position):
            other = str(self._counts.labels[nearest.position])
            note = f"word Jaccard {nearest.jaccard:.2f}"
            self._tally.add(Violation("twins", position, label, nearest.jaccard, (), (other,), note))

    def _evaluate_margin(self, position: int, label: str) -> None:
        margins = self._criteria.margins
        if margins is not None and (loss := margins.loss(position)) > 0:
            other = str(self._counts.labels[int(margins.nearest_after[position])])
            note = f"{margins.before[position]:.3f} before, {margins.after[position]:.3f} after"
            self._tally.add(Violation("margin", position, label, loss, (), (other,), note))


def _matches(phrases: PhraseIndex, words: Sequence[str]) -> list[str]:
    return [" ".join(words[match.start : match.stop]) for match in phrases.find(words)]


def _shared_with(num_labels: int) -> str:
    return f"shared with {num_labels - 1} other label{'s' if num_labels > 2 else ''}"
