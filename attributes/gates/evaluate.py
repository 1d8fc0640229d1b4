"""All gates over a set: what is wrong with it, by figures, thresholds, labels and lines.

The set is gone through twice, label by label, and is never held: first what labels have in common is counted, then
every line is judged. Nothing here is asked of a network, a database or a GPU; what a teacher's text features say comes
in as arrays (`margins`), what an LLM says of the word list's findings as a set of texts (`visible`).
"""

import hashlib
import heapq
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from attributes.gates.label_names import NameIndex, name_words, without_name
from attributes.gates.lemmas import hyphened_words
from attributes.gates.margins import Margins
from attributes.gates.near_duplicates import NearDuplicate, NearDuplicateFinder
from attributes.gates.shared_attributes import SharedCounts, SharingCounter, attributes_of
from attributes.gates.token_lengths import TokenCounter, clip_token_counter, render_line
from attributes.gates.types import Gate, GateResult, LineViolation, Report, Thresholds, Violation
from attributes.gates.word_lists import PhraseIndex, read_word_lists
from attributes.types import Entry, Label, Line

NONVISUAL = Path(__file__).with_name("nonvisual.txt")
COMPARATIVES = Path(__file__).with_name("comparatives.txt")
WAY = 1  # of judging; a change to what a gate finds wants another number
WORST = 20
_BATCH = 4096

OnOffence = Callable[[Violation], None]


@dataclass(frozen=True, kw_only=True)
class WordLists:
    """The word lists in use, how a report names them, and a digest of what stands in them."""

    nonvisual: PhraseIndex
    comparatives: PhraseIndex
    named: str
    digest: str


def load_word_lists(extra: Sequence[Path] = ()) -> WordLists:
    """Our own lists, and a user's files over that of non-visual words. Raises WordListError."""
    named = " and ".join(["our word list", *(f'"{path.name}"' for path in extra)])
    nonvisual, comparatives = read_word_lists([NONVISUAL, *extra]), read_word_lists([COMPARATIVES])
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in (NONVISUAL, COMPARATIVES, *extra))).hexdigest()
    return WordLists(nonvisual=nonvisual, comparatives=comparatives, named=named, digest=digest)


@dataclass(frozen=True, kw_only=True)
class GateCriteria:
    """What a set is held against. `visible`: texts that the LLM called `model` says show after all, whatever the word
    list found in them."""

    thresholds: Thresholds = field(default_factory=Thresholds)
    tokens: TokenCounter = field(default_factory=clip_token_counter)
    lists: WordLists = field(default_factory=load_word_lists)
    margins: Margins | None = None
    visible: Collection[str] = ()
    model: str = ""

    @property
    def digest(self) -> str:
        """Equal judges find the same in the same set, whatever a teacher's features and an LLM say."""
        said = (WAY, asdict(self.thresholds), self.tokens.name, self.lists.digest)
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def evaluate_gates(
    entries: Callable[[], Iterable[Entry]],
    judges: GateCriteria | None = None,
    *,
    on_violation: OnOffence | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Report:
    """Judge a set. `entries()` gives every label of the vocabulary in order, with no line where nothing is said of it,
    and is called twice. `on_violation` hears of every offence, label by label in order; the report holds the worst.

    Raises InterruptedError once `should_stop()` is true.
    """
    judges = judges or GateCriteria()
    common = _Common(judges)
    for position, entry in enumerate(entries()):
        _go_on(should_stop, position)
        common.add(position, entry)
    common.count()
    judging = _Judging(judges, common, on_violation)
    for position, entry in enumerate(entries()):
        _go_on(should_stop, position)
        judging.judge(position, entry)
    return judging.report()


def _go_on(should_stop: Callable[[], bool] | None, position: int) -> None:
    if should_stop is not None and position % 256 == 0 and should_stop():
        raise InterruptedError("asked to stop")


class _Common:
    """What labels have in common; after `count`, an iterator over lines in the order in which they were added."""

    def __init__(self, judges: GateCriteria) -> None:
        self.labels: list[Label] = []
        self.num_lines = 0
        self.twins: dict[int, NearDuplicate] = {}
        self.too_long: dict[int, list[tuple[int, int]]] = {}
        self._tokens = judges.tokens
        self._rendered: list[tuple[int, int, str]] = []
        self._sharing = SharingCounter()
        self._twins = NearDuplicateFinder(judges.thresholds.twin)

    def add(self, position: int, entry: Entry) -> None:
        self.labels.append(Label(entry.label, entry.sense))
        self.num_lines += len(entry.lines)
        own = name_words(entry.label)
        for at, line in enumerate(entry.lines):
            bare, _ = without_name(line.text, own)
            self._sharing.add(position, line, list(attributes_of(line, bare)))
            self._rendered.append((position, at, render_line(entry.label, line.kind, line.text)))
        # The name as it is written does not count: two labels of one text but for their names are twins.
        text = "\n".join(line.text for line in entry.lines).casefold()
        self._twins.add(position, set(hyphened_words(_without(text, entry.label.casefold()))))
        if len(self._rendered) >= _BATCH:
            self._measure()

    def _measure(self) -> None:
        for place, tokens in self._tokens.too_long([text for _, _, text in self._rendered]):
            position, at, _ = self._rendered[place]
            self.too_long.setdefault(position, []).append((at, tokens))
        self._rendered.clear()

    def count(self) -> None:
        self._measure()
        self.verbatim: SharedCounts = self._sharing.verbatim()
        self.meant: SharedCounts = self._sharing.by_meaning()
        self.pieces: Iterator[int] = iter(self._sharing.pieces)
        del self._sharing  # each of these is big, and together they would be too much for 100,000 labels
        self.twins = self._twins.find()
        del self._twins


class _Judging:
    """The second time through."""

    def __init__(self, judges: GateCriteria, common: _Common, on_violation: OnOffence | None) -> None:
        self._judges, self._common, self._on_offence = judges, common, on_violation
        self._index = NameIndex(common.labels)
        self._line = self._attribute = 0
        self._num_lines: Counter[Gate] = Counter()
        self._num_labels: Counter[Gate] = Counter()
        self._heaps: dict[Gate, list[tuple[float, int, Violation]]] = {}
        self._num_described = self._without_own = self._without_own_line = self._cleared = 0

    def judge(self, position: int, entry: Entry) -> None:
        """Judge the lines of one label, then the label."""
        own = name_words(entry.label)
        bad: dict[Gate, list[LineViolation]] = {}
        named: list[str] = []
        ids: dict[int, str] = {}

        def catch(gate: Gate, at: int, words: Iterable[str]) -> None:
            line = entry.lines[at]
            ids[at] = ids.get(at) or line.id
            call = "" if line.kept else line.call
            bad.setdefault(gate, []).append(LineViolation(ids[at], line.text, tuple(words), call))

        for at, line in enumerate(entry.lines):
            _, said = without_name(line.text, own)
            if words := self._nonvisual(line, said):
                catch("nonvisual", at, words)
            if found := self._judges.lists.comparatives.find(said):
                catch("comparatives", at, (" ".join(said[one.start : one.stop]) for one in found))
            if others := list(self._index.named_in(said, own, entry.sense)):
                catch("names", at, others)
                named += others
        for at, tokens in self._common.too_long.get(position, ()):
            catch("length", at, [f"{tokens} tokens"])
        for gate in ("length", "names", "comparatives", "nonvisual"):
            if lines := bad.get(gate):
                others = list(dict.fromkeys(named)) if gate == "names" else []
                self._offend(Violation(gate, position, entry.label, len(lines), tuple(lines), tuple(others)))
        self._num_described += bool(entry.lines)
        self._judge_verbatim(position, entry, bad, catch)
        self._judge_shared(position, entry, bad, catch)
        self._judge_neighbours(position, entry.label)

    def _nonvisual(self, line: Line, said: Sequence[str]) -> list[str]:
        words = [" ".join(said[one.start : one.stop]) for one in self._judges.lists.nonvisual.find(said)]
        if words and line.text in self._judges.visible:
            self._cleared += 1
            return []
        return words

    def _judge_verbatim(
        self, position: int, entry: Entry, bad: dict[Gate, list[LineViolation]], catch: Callable[..., None]
    ) -> None:
        counts = self._common.verbatim.num_labels[self._line : self._line + len(entry.lines)].tolist()
        self._line += len(entry.lines)
        shared = [(at, count) for at, count in enumerate(counts) if count > 1]
        self._num_lines["verbatim"] += len(shared)
        self._without_own_line += bool(counts) and len(shared) == len(counts)
        if len(shared) > self._judges.thresholds.shared * len(counts):
            for at, count in shared:
                catch("verbatim", at, [_also(count)])
            self._offend(
                Violation(
                    "verbatim",
                    position,
                    entry.label,
                    len(shared) / len(counts),
                    tuple(bad["verbatim"]),
                    (),
                    f"{len(shared)} of {len(counts)} lines",
                ),
                counted=True,
            )

    def _judge_shared(
        self, position: int, entry: Entry, bad: dict[Gate, list[LineViolation]], catch: Callable[..., None]
    ) -> None:
        pieces = [next(self._common.pieces) for _ in entry.lines]
        span = slice(self._attribute, self._attribute + sum(pieces))
        self._attribute = span.stop
        counts = self._common.meant.num_labels[span].tolist()
        first = 0
        for at, num_pieces in enumerate(pieces):
            most = max(counts[first : first + num_pieces], default=1)
            first += num_pieces
            if most > 1:
                catch("shared", at, [_also(most)])
        num_shared = sum(count > 1 for count in counts)
        self._num_lines["shared"] += num_shared
        if num_shared > self._judges.thresholds.shared * len(counts):
            note = f"{num_shared} of {len(counts)} attributes"
            lines = tuple(bad.get("shared", ()))
            offence = Violation("shared", position, entry.label, num_shared / len(counts), lines, (), note)
            self._offend(offence, counted=True)
        which = self._common.meant.which[span].tolist()
        num_own = len({key for key, count in zip(which, counts, strict=True) if count == 1})
        self._without_own += num_own == 0
        if num_own < self._judges.thresholds.min_own:
            note = f"{num_own} of its own" if entry.lines else "nothing is said of it"
            lines = tuple(bad.get("shared", ()))
            self._offend(Violation("own", position, entry.label, -num_own, lines, (), note))

    def _judge_neighbours(self, position: int, label: str) -> None:
        if twin := self._common.twins.get(position):
            other = str(self._common.labels[twin.position])
            note = f"word Jaccard {twin.jaccard:.2f}"
            self._offend(Violation("twins", position, label, twin.jaccard, (), (other,), note))
        margins = self._judges.margins
        if margins is not None and (loss := margins.loss(position)) > 0:
            other = str(self._common.labels[int(margins.nearest_after[position])])
            note = f"{margins.before[position]:.3f} before, {margins.after[position]:.3f} after"
            self._offend(Violation("margin", position, label, loss, (), (other,), note))

    def _offend(self, offence: Violation, *, counted: bool = False) -> None:
        self._num_labels[offence.gate] += 1
        self._num_lines[offence.gate] += 0 if counted else len(offence.lines)
        heap = self._heaps.setdefault(offence.gate, [])
        item = (offence.weight, -offence.position, offence)
        if len(heap) < WORST:
            heapq.heappush(heap, item)
        elif item[:2] > heap[0][:2]:
            heapq.heapreplace(heap, item)
        if self._on_offence is not None:
            self._on_offence(offence)

    def report(self) -> Report:
        """What it all comes to."""
        return Report(
            num_labels=len(self._common.labels),
            num_described=self._num_described,
            num_lines=self._common.num_lines,
            results=tuple(self._results()),
        )

    def _results(self) -> Iterator[GateResult]:
        limits, lists = self._judges.thresholds, self._judges.lists
        lines, attributes = self._common.num_lines, len(self._common.meant.num_labels)
        yield self._result("length", self._num_lines["length"], 0, "lines", judged_by=self._judges.tokens.name)
        yield self._result("names", self._num_lines["names"], 0, "lines", judged_by="the names of the vocabulary")
        yield self._result("comparatives", self._num_lines["comparatives"], 0, "lines", judged_by="our word list")
        judge = f"{lists.named}, then {self._judges.model}" if self._judges.model else lists.named
        details: dict[str, Any] = {"num_lines": self._num_lines["nonvisual"], "cleared_by_model": self._cleared}
        share = _share(self._num_lines["nonvisual"], lines)
        yield self._result("nonvisual", share, limits.nonvisual, "share", judged_by=judge, details=details)
        meant = "lemmas (simplemma)"
        details = {"min_own": limits.min_own, "num_without_any": self._without_own}
        yield self._result("own", self._num_labels["own"], 0, "labels", judged_by=meant, details=details)
        share = _share(self._num_lines["shared"], attributes)
        details = {"num_attributes": attributes}
        yield self._result("shared", share, limits.shared, "share", judged_by=meant, details=details)
        share = _share(self._num_lines["verbatim"], lines)
        details = {"num_lines": self._num_lines["verbatim"], "num_without_own_line": self._without_own_line}
        yield self._result(
            "verbatim", share, limits.shared, "share", judged_by="the words as they stand", details=details
        )
        details = {"jaccard": limits.twin}
        yield self._result("twins", self._num_labels["twins"], 0, "labels", judged_by="word Jaccard", details=details)
        margins = self._judges.margins
        if margins is None:
            yield GateResult(
                gate="margin",
                figure=None,
                threshold=0,
                unit="labels",
                holds=None,
                judged_by="not measured: name a teacher to have its text features compared",
            )
        else:
            details = margins.details(self._common.labels)
            yield self._result(
                "margin", self._num_labels["margin"], 0, "labels", judged_by=margins.teacher, details=details
            )

    def _result(
        self,
        gate: Gate,
        figure: float,
        threshold: float,
        unit: Literal["share", "labels", "lines"],
        *,
        judged_by: str,
        details: dict[str, Any] | None = None,
    ) -> GateResult:
        holds = figure < threshold if gate == "nonvisual" else figure <= threshold
        worst = [offence for _, _, offence in sorted(self._heaps.get(gate, ()), key=lambda item: item[:2])][::-1]
        return GateResult(
            gate=gate,
            figure=figure,
            threshold=threshold,
            unit=unit,
            holds=holds,
            num_labels=self._num_labels[gate],
            judged_by=judged_by,
            details=details or {},
            worst=tuple(worst),
        )


def _without(text: str, name: str) -> str:
    """The text without a name wherever it stands by itself, as it is written."""
    at = text.find(name) if name else -1
    while at >= 0:
        stop = at + len(name)
        if not (text[at - 1 : at].isalnum() or text[stop : stop + 1].isalnum()):
            text, stop = f"{text[:at]} {text[stop:]}", at
        at = text.find(name, stop)
    return text


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _also(num_labels: int) -> str:
    return f"also said of {num_labels - 1} other label{'s' if num_labels > 2 else ''}"
