"""The tally of violations by gate, and the gate results that it gives."""

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from attributes.gates.criteria import GateCriteria
from attributes.gates.set_counts import SetCounts
from attributes.gates.types import ENGLISH_GATES, Gate, GateResult, Violation
from attributes.gates.words.languages import ENGLISH
from attributes.json_types import JSONObject
from attributes.languages import language_name
from attributes.meta_text import LANGUAGES as META_LANGUAGES
from limbeck.shared.text import counted

MAX_WORST = 20  # violations that a report holds for each gate

OnViolation = Callable[[Violation], None]


class Tally:
    """Counts violations by gate and keeps the worst of each. `on_violation` is called with every violation."""

    def __init__(self, on_violation: OnViolation | None = None) -> None:
        self.num_lines: Counter[Gate] = Counter()  # for the gate `shared`: attributes
        self.num_labels: Counter[Gate] = Counter()
        self.num_described = 0
        self.num_without_own = 0
        self.num_without_own_line = 0
        self.num_cleared = 0  # lines that the second opinion calls visible
        self.num_attributes = 0  # of English lines
        self.num_judged_by_own = 0  # labels with lines, all of them English
        self.languages: Counter[str] = Counter()  # lines by language
        self._on_violation = on_violation
        self._heaps: dict[Gate, list[tuple[float, int, Violation]]] = {}

    def add(self, violation: Violation, *, count_lines: bool = True) -> None:
        """Add a violation; with `count_lines` false the caller has already counted its lines."""
        gate = violation.gate
        self.num_labels[gate] += 1
        if count_lines:
            self.num_lines[gate] += len(violation.lines)
        heap = self._heaps.setdefault(gate, [])
        item = (violation.weight, -violation.position, violation)
        if len(heap) < MAX_WORST:
            heapq.heappush(heap, item)
        elif item[:2] > heap[0][:2]:
            heapq.heapreplace(heap, item)
        if self._on_violation is not None:
            self._on_violation(violation)

    def add_languages(self, languages: Sequence[str]) -> None:
        """Count the languages of the lines of a label."""
        self.languages.update(languages)

    def worst(self, gate: Gate) -> tuple[Violation, ...]:
        """The violations with the largest weights, worst first; equal weights by position."""
        ordered = sorted(self._heaps.get(gate, ()), key=lambda item: item[:2], reverse=True)
        return tuple(violation for _, _, violation in ordered)


def gate_results(criteria: GateCriteria, counts: SetCounts, tally: Tally) -> Iterator[GateResult]:
    """The results of all gates, in the order of `GATES`. A gate without a line that it can judge is not judged."""
    for result in _results(criteria, counts, tally):
        if not (foreign := _not_judged(result.gate, tally)):
            yield result
            continue
        num_lines, names = sum(foreign.values()), " and ".join(map(language_name, foreign))
        num_judged = tally.num_judged_by_own if result.gate == "own" else counts.num_lines - num_lines
        if num_judged or result.gate == "meta" and result.figure:
            note = f"{result.judged_by}; not judged: {counted(num_lines, 'line')} in {names}"
            yield replace(result, judged_by=note, num_not_judged=num_lines)
        else:
            reason = "English lemmas" if result.gate in ("own", "shared") else "English words"
            reason = "known wordings" if result.gate == "meta" else reason
            note = f"not judged: the lines are in {names}, and the gate compares {reason}"
            yield _without_figure(result, note, num_lines)


def _not_judged(gate: Gate, tally: Tally) -> Mapping[str, int]:
    """The number of lines by language that the gate cannot judge, most frequent first."""
    judged = frozenset({ENGLISH}) if gate in ENGLISH_GATES else META_LANGUAGES
    if gate not in ENGLISH_GATES and gate != "meta":
        return {}
    return {code: count for code, count in tally.languages.most_common() if code not in judged}


def _without_figure(result: GateResult, reason: str, num_lines: int) -> GateResult:
    return GateResult(
        gate=result.gate,
        figure=None,
        threshold=result.threshold,
        unit=result.unit,
        holds=None,
        num_not_judged=num_lines,
        judged_by=reason,
    )


def _results(criteria: GateCriteria, counts: SetCounts, tally: Tally) -> Iterator[GateResult]:
    limits, word_list = criteria.thresholds, criteria.word_lists.name
    num_lines, num_english = counts.num_lines, tally.languages[ENGLISH]
    lemmas = "lemmas (simplemma)"

    yield _count(tally, "length", "lines", criteria.token_counter.name)
    yield _count(tally, "meta", "lines", "known wordings of errors, refusals, placeholders and talk about the task")
    yield _count(tally, "names", "lines", "the label names of the vocabulary")
    yield _count(tally, "comparatives", "lines", "our word list")
    judges = f"{word_list}, then {criteria.judge_model}" if criteria.judge_model else word_list
    details: JSONObject = {"num_lines": tally.num_lines["nonvisual"], "cleared_by_model": tally.num_cleared}
    yield _share(tally, "nonvisual", num_english, limits.nonvisual, judges, details)
    details = {"min_own": limits.min_own, "num_without_any": tally.num_without_own}
    yield _count(tally, "own", "labels", lemmas, details)
    details = {"num_attributes": tally.num_attributes}
    yield _share(tally, "shared", tally.num_attributes, limits.shared, lemmas, details)
    details = {"num_lines": tally.num_lines["verbatim"], "num_without_own_line": tally.num_without_own_line}
    yield _share(tally, "verbatim", num_lines, limits.shared, "the text of lines, ignoring case", details)
    yield _count(tally, "twins", "labels", "word Jaccard", {"jaccard": limits.twin})
    if criteria.margins is not None:
        yield _count(tally, "margin", "labels", criteria.margins.teacher, criteria.margins.details(counts.labels))
    else:
        yield GateResult(
            gate="margin",
            figure=None,
            threshold=0,
            unit="labels",
            holds=None,
            judged_by="not measured: name a teacher to compare its text features",
        )


def _count(
    tally: Tally,
    gate: Gate,
    unit: Literal["labels", "lines"],
    judged_by: str,
    details: JSONObject | None = None,
) -> GateResult:
    """The result of a gate that allows no violation."""
    figure = tally.num_labels[gate] if unit == "labels" else tally.num_lines[gate]
    return GateResult(
        gate=gate,
        figure=figure,
        threshold=0,
        unit=unit,
        holds=figure == 0,
        num_labels=tally.num_labels[gate],
        judged_by=judged_by,
        details=details or {},
        worst=tally.worst(gate),
    )


def _share(tally: Tally, gate: Gate, total: int, threshold: float, judged_by: str, details: JSONObject) -> GateResult:
    """The result of a gate that allows violations in a share of all `total` lines or attributes."""
    figure = tally.num_lines[gate] / total if total else 0.0
    return GateResult(
        gate=gate,
        figure=figure,
        threshold=threshold,
        unit="share",
        holds=figure < threshold if gate == "nonvisual" else figure <= threshold,
        num_labels=tally.num_labels[gate],
        judged_by=judged_by,
        details=details,
        worst=tally.worst(gate),
    )
