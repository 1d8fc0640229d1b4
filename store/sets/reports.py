"""Gate reports of attribute sets: one per teacher and one without a teacher; a row per label that violates a gate.

The rows of a gate belong to the newest report that measured the gate. The file of a report lists the violating lines.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from store.models import AttributeSet, GateFailure, SetReport

_BATCH = 5_000


def put(
    tx: Session,
    *,
    set_id: str,
    teacher: str,
    figures: Mapping[str, object],
    file_key: str,
    failures: Mapping[str, Sequence[int]],
) -> None:
    """Store a report; it replaces an earlier report with the same teacher. `failures`: gate → positions of the labels
    that violate it, for every gate that was measured."""
    tx.merge(
        SetReport(set_id=set_id, teacher=teacher, figures=dict(figures), file_key=file_key, created_at=time.time())
    )
    tx.execute(delete(GateFailure).where(GateFailure.set_id == set_id, GateFailure.gate.in_(list(failures))))
    for gate, positions in failures.items():
        for start in range(0, len(positions), _BATCH):
            rows = [{"set_id": set_id, "gate": gate, "position": at} for at in positions[start : start + _BATCH]]
            tx.execute(insert(GateFailure), rows)


def failing_gates(figures: Mapping[str, Any]) -> list[str]:
    """The gates that the set does not pass."""
    return [gate["gate"] for gate in figures["gates"] if gate["holds"] is False]


def find_for_content(tx: Session, *, vocabulary_id: str, digest: str, judges: str) -> SetReport | None:
    """A report without a teacher on a set of equal content by equal judges, or None.

    The report must be the newest of its set, so that the rows of its gates belong to it.
    """
    query = select(SetReport).join(AttributeSet, AttributeSet.id == SetReport.set_id)
    query = query.where(AttributeSet.vocabulary_id == vocabulary_id, AttributeSet.digest == digest)
    for report in tx.scalars(query.where(SetReport.teacher == "").order_by(SetReport.created_at.desc()).limit(10)):
        newest = get(tx, report.set_id)
        if report.figures.get("judges") == judges and newest is not None and newest.teacher == "":
            return report
    return None


def flagged_positions(tx: Session, set_id: str) -> dict[str, list[int]]:
    """Gate → positions of the labels that violate it, ascending."""
    query = select(GateFailure.gate, GateFailure.position).where(GateFailure.set_id == set_id)
    positions: dict[str, list[int]] = {}
    for gate, position in tx.execute(query.order_by(GateFailure.gate, GateFailure.position)):
        positions.setdefault(gate, []).append(position)
    return positions


def get(tx: Session, set_id: str, teacher: str | None = None) -> SetReport | None:
    """The report of the set with this teacher ("": without a teacher), or the newest report if `teacher` is None."""
    query = select(SetReport).where(SetReport.set_id == set_id).order_by(SetReport.created_at.desc()).limit(1)
    return tx.scalar(query if teacher is None else query.where(SetReport.teacher == teacher))
