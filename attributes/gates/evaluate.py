"""Evaluate all gates over a set: `evaluate_gates` returns a report with figures, thresholds, labels and lines.

The set is read twice, label by label, and is never held in memory: the first pass counts over all labels
(`attributes.gates.set_counts`), the second finds the violations of each label (`attributes.gates.violations`). No LLM,
database or GPU is used here: a teacher's text features arrive as arrays (`GateCriteria.margins`), an LLM's second
opinion as a set of texts (`GateCriteria.visible_texts`).
"""

from collections.abc import Callable, Iterable, Iterator

from attributes.gates.criteria import GateCriteria
from attributes.gates.gate_results import OnViolation, Tally, gate_results
from attributes.gates.set_counts import SetCounts
from attributes.gates.types import Report
from attributes.gates.violations import ViolationFinder
from attributes.types import Entry

_STOP_INTERVAL = 256  # labels between two calls of `should_stop`


def evaluate_gates(
    entries: Callable[[], Iterable[Entry]],
    criteria: GateCriteria | None = None,
    *,
    on_violation: OnViolation | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Report:
    """Evaluate a set. `entries()` is called twice and yields every label of the vocabulary in order; a label without
    attributes has an entry without lines. `on_violation` is called with every violation, in label order; the report
    holds the worst of each gate.

    Raises InterruptedError when `should_stop()` is true.
    """
    criteria = criteria or GateCriteria()
    counts = SetCounts(criteria)
    for position, entry in _interruptible(entries(), should_stop):
        counts.add(position, entry)
    counts.finish()
    tally = Tally(on_violation)
    finder = ViolationFinder(criteria, counts, tally)
    for position, entry in _interruptible(entries(), should_stop):
        finder.evaluate(position, entry)
    return Report(
        num_labels=len(counts.labels),
        num_described=tally.num_described,
        num_lines=counts.num_lines,
        results=tuple(gate_results(criteria, counts, tally)),
        languages=counts.languages.counts,
    )


def _interruptible(entries: Iterable[Entry], should_stop: Callable[[], bool] | None) -> Iterator[tuple[int, Entry]]:
    """(position, entry). Raises InterruptedError when `should_stop()` is true."""
    for position, entry in enumerate(entries):
        if should_stop is not None and position % _STOP_INTERVAL == 0 and should_stop():
            raise InterruptedError("the evaluation was asked to stop")
        yield position, entry
