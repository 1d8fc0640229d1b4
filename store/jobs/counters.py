"""Running totals for Prometheus: LLM calls, tokens and money, failures by reason, durations of parts, ended jobs.

A total must not fall when a job is deleted, and a scrape must not read a table of millions of calls. So each
transaction that records calls or ends a part inserts increments, and the sweeper adds them to the totals (`fold`).
Inserts take no lock that another transaction waits for: two transactions that updated the same totals in another order
could deadlock, and would wait for each other's commits in any order.
"""

import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, insert, literal, select, union_all
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from store.ids import new_id
from store.models import CounterIncrement, CounterTotal

MAX_SERIES = 1_000
"""Series of one metric. Clients choose names of models: further ones are counted under `OTHER`."""
OTHER = "other"
_MAX_LABEL_CHARS = 100
_FOLDED_AT_ONCE = 5_000

Series = tuple[str, tuple[str, ...]]
"""The name of a metric and the values of its labels."""
Increment = tuple[Series, float]


@dataclass(frozen=True, kw_only=True)
class CounterMetric:
    """A counter; Prometheus shows its name with `_total`."""

    name: str
    help: str
    labels: tuple[str, ...]

    def increment(self, by: float, *values: str) -> Increment:
        """An increment of the series with these values of the labels."""
        assert len(values) == len(self.labels)
        return (self.name, tuple(value[:_MAX_LABEL_CHARS] for value in values)), by


LLM_CALLS = CounterMetric(
    name="limbeck_llm_calls",
    help="LLM calls by model and status: ok, or why the attempt was repeated or failed",
    labels=("model", "status"),
)
LLM_SECONDS = CounterMetric(name="limbeck_llm_call_seconds", help="Time that LLM calls took", labels=("model",))
LLM_TOKENS = CounterMetric(
    name="limbeck_llm_tokens",
    help="Tokens by model and kind: prompt, cached (a part of prompt), completion",
    labels=("model", "kind"),
)
LLM_COST = CounterMetric(
    name="limbeck_llm_cost_dollars", help="Cost of LLM calls whose price is known", labels=("model",)
)
LLM_UNPRICED_CALLS = CounterMetric(
    name="limbeck_llm_unpriced_calls", help="LLM calls whose cost is not known", labels=("model",)
)
LLM_FAILURES = CounterMetric(
    name="limbeck_llm_failures", help="Questions that ended without a valid response, by reason", labels=("reason",)
)
PART_FAILURES = CounterMetric(
    name="limbeck_part_failures", help="Failed attempts of parts by kind and code of the error", labels=("kind", "code")
)
JOBS_ENDED = CounterMetric(name="limbeck_jobs_ended", help="Ended jobs by kind and status", labels=("kind", "status"))
JOB_FAILURES = CounterMetric(
    name="limbeck_job_failures", help="Failed jobs by kind and code of the error", labels=("kind", "code")
)
COUNTERS = (
    LLM_CALLS,
    LLM_SECONDS,
    LLM_TOKENS,
    LLM_COST,
    LLM_UNPRICED_CALLS,
    LLM_FAILURES,
    PART_FAILURES,
    JOBS_ENDED,
    JOB_FAILURES,
)

PART_SECONDS = "limbeck_part_seconds"
PART_SECONDS_LABELS = ("kind", "outcome")
PART_BOUNDS_S = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
"""Upper bounds of the buckets of the histogram of durations; a longer part is in the bucket `+Inf`."""
_BUCKET = CounterMetric(name=f"{PART_SECONDS}_bucket", help="", labels=(*PART_SECONDS_LABELS, "le"))
_SUM = CounterMetric(name=f"{PART_SECONDS}_sum", help="", labels=PART_SECONDS_LABELS)


def part_ended(kind: str, outcome: str, duration_s: float) -> list[Increment]:
    """The increments for an attempt at a part."""
    index = bisect_left(PART_BOUNDS_S, duration_s)
    bound = f"{PART_BOUNDS_S[index]:g}" if index < len(PART_BOUNDS_S) else "+Inf"
    return [_BUCKET.increment(1, kind, outcome, bound), _SUM.increment(duration_s, kind, outcome)]


_INSERT = insert(CounterIncrement.__table__)  # type: ignore[arg-type]  # built once: it is in every group commit


def add(tx: Session, increments: Iterable[Increment]) -> None:
    """Insert the increments, summed by series, without those of 0."""
    sums: Counter[Series] = Counter()
    for series, by in increments:
        sums[series] += by  # type: ignore[assignment]
    rows = [
        {"id": new_id("inc"), "name": name, "labels": json.dumps(values), "value": float(by)}
        for (name, values), by in sums.items()
        if by
    ]
    if rows:
        tx.connection().execute(_INSERT, rows)


def fold(tx: Session) -> int:
    """Add up to `_FOLDED_AT_ONCE` increments to the totals; returns their number. Several sweepers may call it."""
    query = select(CounterIncrement.id, CounterIncrement.name, CounterIncrement.labels, CounterIncrement.value)
    rows = tx.execute(query.limit(_FOLDED_AT_ONCE).with_for_update(skip_locked=True)).all()
    if not rows:
        return 0
    tx.execute(delete(CounterIncrement).where(CounterIncrement.id.in_([row.id for row in rows])))
    names = {row.name for row in rows}
    stored = tx.execute(select(CounterTotal.name, CounterTotal.labels).where(CounterTotal.name.in_(names)))
    known = [(name, _values(labels)) for name, labels in stored]
    new: Counter[Series] = Counter()
    for row in rows:
        new[row.name, _values(row.labels)] += row.value
    # In the order of the key, so that two sweepers cannot deadlock.
    totals = [
        {"name": name, "labels": json.dumps(values), "value": value}
        for (name, values), value in sorted(_bounded(known, new).items())
    ]
    dialect = sqlite if tx.get_bind().dialect.name == "sqlite" else postgresql
    statement = dialect.insert(CounterTotal)
    added = {"value": CounterTotal.value + statement.excluded.value}
    keys = [CounterTotal.name, CounterTotal.labels]
    tx.execute(statement.on_conflict_do_update(index_elements=keys, set_=added), totals)
    return len(rows)


def totals(tx: Session) -> Mapping[Series, float]:
    """The total of each series, with the increments that are not folded yet, of one moment."""
    both = union_all(
        select(CounterTotal.name, CounterTotal.labels, CounterTotal.value, literal(1).label("is_total")),
        select(CounterIncrement.name, CounterIncrement.labels, CounterIncrement.value, literal(0)),
    ).subquery()
    query = select(both.c.name, both.c.labels, func.sum(both.c.value), func.max(both.c.is_total))
    known: dict[Series, float] = {}
    new: dict[Series, float] = {}
    for name, labels, value, is_total in tx.execute(query.group_by(both.c.name, both.c.labels)):
        (known if is_total else new)[name, _values(labels)] = value
    for series, value in _bounded(list(known), new).items():
        known[series] = known.get(series, 0.0) + value
    return known


def _bounded(known: Sequence[Series], new: Mapping[Series, float]) -> dict[Series, float]:
    """`new` without series beyond `MAX_SERIES` of a metric, which are summed with `OTHER` as their first label."""
    existing = set(known)
    sizes = Counter(name for name, _ in known)
    bounded: Counter[Series] = Counter()
    for (name, values), value in sorted(new.items()):
        series = name, values
        if series not in existing:
            if sizes[name] >= MAX_SERIES:
                series = name, (OTHER, *values[1:])
            else:
                sizes[name] += 1
                existing.add(series)
        bounded[series] += value  # type: ignore[assignment]
    return dict(bounded)


def _values(labels: str) -> tuple[str, ...]:
    return tuple(json.loads(labels))
