"""What the gates found in a set: one report for each teacher asked, and one without; the labels caught are rows.

The rows of a gate are those of the newest report that measured it; what lines offended stands in the report's file.
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
    figures: Mapping[str, Any],
    file_key: str,
    failures: Mapping[str, Sequence[int]],
) -> None:
    """Keep a report in place of an earlier one by the same teacher; `failures` is gate → positions caught, for every
    gate that was measured."""
    tx.merge(
        SetReport(set_id=set_id, teacher=teacher, figures=dict(figures), file_key=file_key, created_at=time.time())
    )
    tx.execute(delete(GateFailure).where(GateFailure.set_id == set_id, GateFailure.gate.in_(list(failures))))
    for gate, positions in failures.items():
        for start in range(0, len(positions), _BATCH):
            rows = [{"set_id": set_id, "gate": gate, "position": at} for at in positions[start : start + _BATCH]]
            tx.execute(insert(GateFailure), rows)


def failing(figures: Mapping[str, Any]) -> list[str]:
    """The gates that do not hold."""
    return [gate["gate"] for gate in figures["gates"] if gate["holds"] is False]


def of_content(tx: Session, *, vocabulary_id: str, digest: str, judges: str) -> SetReport | None:
    """The report that equal judges made of a set of equal content, without a teacher; where it is its set's newest, so
    that the rows of its gates are its own."""
    query = select(SetReport).join(AttributeSet, AttributeSet.id == SetReport.set_id)
    query = query.where(AttributeSet.vocabulary_id == vocabulary_id, AttributeSet.digest == digest)
    for found in tx.scalars(query.where(SetReport.teacher == "").order_by(SetReport.created_at.desc()).limit(10)):
        newest = get(tx, found.set_id)
        if found.figures.get("judges") == judges and newest is not None and newest.teacher == "":
            return found
    return None


def caught(tx: Session, set_id: str) -> dict[str, list[int]]:
    """Gate → the positions that it caught."""
    query = select(GateFailure.gate, GateFailure.position).where(GateFailure.set_id == set_id)
    found: dict[str, list[int]] = {}
    for gate, position in tx.execute(query.order_by(GateFailure.gate, GateFailure.position)):
        found.setdefault(gate, []).append(position)
    return found


def get(tx: Session, set_id: str, teacher: str | None = None) -> SetReport | None:
    """The set's report by this teacher ("": by none); the newest where None."""
    query = select(SetReport).where(SetReport.set_id == set_id).order_by(SetReport.created_at.desc()).limit(1)
    return tx.scalar(query if teacher is None else query.where(SetReport.teacher == teacher))
