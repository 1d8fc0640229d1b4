"""Batches handed to a server's Batch API: written down before they are submitted, so that none is forgotten or made
twice, and ended in the transaction that keeps what they brought.

    new        the questions are chosen and their worst case is set aside; perhaps the file is up (`detail.file_id`)
    submitted  the server has it as `server_id`; `status` is then what the server says
    ended_at   what it brought is kept; `detail.again` is what to go on with, for questions that have to be asked again
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from store.ids import new_id
from store.models import LLMBatch, Part

# What a part still waits for, in a query about parts.
WAITS: ColumnElement[bool] = exists().where(LLMBatch.part_id == Part.id, LLMBatch.ended_at.is_(None))


def add(tx: Session, *, job_id: str, part_id: str, num_requests: int, detail: Mapping[str, Any]) -> LLMBatch:
    """A batch that is about to be submitted."""
    made = LLMBatch(
        id=new_id("bat"),
        job_id=job_id,
        part_id=part_id,
        server_id=None,
        status="new",
        num_requests=num_requests,
        detail=dict(detail),
        created_at=time.time(),
        ended_at=None,
    )
    tx.add(made)
    tx.flush()
    return made


def of_part(tx: Session, part_id: str) -> Sequence[LLMBatch]:
    """All batches of a part, in the order in which they were made."""
    return tx.scalars(select(LLMBatch).where(LLMBatch.part_id == part_id).order_by(LLMBatch.id)).all()


def note(tx: Session, batch: LLMBatch, **values: Any) -> None:
    """Write down what has become of a batch; `detail` is added to what is there."""
    if "detail" in values:
        values["detail"] = {**batch.detail, **values["detail"]}
    tx.execute(
        update(LLMBatch).where(LLMBatch.id == batch.id).values(**values),
        execution_options={"synchronize_session": False},
    )
    for name, value in values.items():
        setattr(batch, name, value)


def end(tx: Session, batch: LLMBatch, *, status: str, again: Mapping[str, Any]) -> None:
    """What it brought is kept."""
    note(tx, batch, status=status, ended_at=time.time(), detail={"again": dict(again), "reserved": [0, 0]})


def waits(tx: Session, part_id: str) -> bool:
    """Whether the part has a batch under way."""
    return tx.scalar(select(Part.id).where(Part.id == part_id, WAITS)) is not None
