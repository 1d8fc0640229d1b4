"""Batches for the Batch API of an LLM server.

A row is stored before its batch is submitted, so that no batch is lost or submitted twice. A batch ends in the
transaction that stores its responses.

    new        questions are chosen, their worst-case usage is reserved; the file may be uploaded (`detail.file_id`)
    submitted  the server knows it as `server_id`; `status` is then the status that the server reports
               (`queue_full` if the server had no room for it; `detail.fitting`: how many requests to send next)
    ended_at   its responses are stored; `detail.again` holds the state of the questions to send again
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from store.ids import new_id
from store.models import LLMBatch, Part

# Condition for queries over parts: the part has a batch that has not ended.
HAS_OPEN_BATCH: ColumnElement[bool] = exists().where(LLMBatch.part_id == Part.id, LLMBatch.ended_at.is_(None))


def add(tx: Session, *, job_id: str, part_id: str, num_requests: int, detail: Mapping[str, Any]) -> LLMBatch:
    """Store a batch that is about to be submitted."""
    batch = LLMBatch(
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
    tx.add(batch)
    tx.flush()
    return batch


def of_part(tx: Session, part_id: str) -> Sequence[LLMBatch]:
    """All batches of a part, in order of creation."""
    return tx.scalars(select(LLMBatch).where(LLMBatch.part_id == part_id).order_by(LLMBatch.id)).all()


def record(tx: Session, batch: LLMBatch, **values: Any) -> None:
    """Update columns of a batch; `detail` is merged into the stored one."""
    if "detail" in values:
        values["detail"] = {**batch.detail, **values["detail"]}
    tx.execute(
        update(LLMBatch).where(LLMBatch.id == batch.id).values(**values),
        execution_options={"synchronize_session": False},
    )
    for name, value in values.items():
        setattr(batch, name, value)


def end(tx: Session, batch: LLMBatch, *, status: str, again: Mapping[str, Any]) -> None:
    """End a batch whose responses are stored; `again` is the state of the questions to send again."""
    record(tx, batch, status=status, ended_at=time.time(), detail={"again": dict(again), "reserved": [0, 0]})


def has_others(tx: Session, batch: LLMBatch) -> bool:
    """Whether the server has another open batch, of any job."""
    others = select(LLMBatch.id).where(
        LLMBatch.ended_at.is_(None), LLMBatch.server_id.is_not(None), LLMBatch.id != batch.id
    )
    return tx.scalar(others.limit(1)) is not None


def has_open_batch(tx: Session, part_id: str) -> bool:
    """Whether the part has a batch that has not ended."""
    return tx.scalar(select(Part.id).where(Part.id == part_id, HAS_OPEN_BATCH)) is not None
