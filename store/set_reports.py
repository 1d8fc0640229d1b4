"""What the gates found in a set: one report for each teacher asked, and one without; the labels caught are rows.

The rows of a gate are those of the newest report that measured it; what lines offended stands in the report's file.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from store.models import GateFailure, SetReport

_BATCH = 5_000


def put(
    tx: Session, *, set_id: str, teacher: str, figures: Mapping[str, Any], file_key: str,
    failures: Mapping[str, Sequence[int]],
) -> None:  # fmt: skip
    """Keep a report in place of an earlier one by the same teacher; `failures` is gate → positions caught, for every
    gate that was measured."""
    tx.merge(
        SetReport(
            set_id=set_id, teacher=teacher, figures=dict(figures), file_key=file_key, created_at=time.time()
        )
    )  # fmt: skip
    tx.execute(delete(GateFailure).where(GateFailure.set_id == set_id, GateFailure.gate.in_(list(failures))))
    for gate, positions in failures.items():
        for start in range(0, len(positions), _BATCH):
            rows = [{"set_id": set_id, "gate": gate, "position": at} for at in positions[start : start + _BATCH]]
            tx.execute(insert(GateFailure), rows)


def failing(figures: Mapping[str, Any]) -> list[str]:
    """The gates that do not hold."""
    return [gate["gate"] for gate in figures["gates"] if gate["holds"] is False]


def get(tx: Session, set_id: str, teacher: str | None = None) -> SetReport | None:
    """The set's report by this teacher ("": by none); the newest where None."""
    query = select(SetReport).where(SetReport.set_id == set_id).order_by(SetReport.created_at.desc()).limit(1)
    return tx.scalar(query if teacher is None else query.where(SetReport.teacher == teacher))
