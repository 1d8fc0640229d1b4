"""Events of jobs, numbered per job.

The number comes from a counter in the row of the job, so that numbers ascend in commit order: after a reader has seen
event n, no lower number appears.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import select, update
from sqlalchemy.orm import Session, defer

from store.models import Event, Job

Level = Literal["info", "warning", "error"]
Type = Literal["message", "metrics", "state"]


def add(
    tx: Session, job_id: str, type: Type, message: str, *, level: Level = "info", data: Mapping[str, Any] | None = None
) -> None:
    """Append an event; the row of the job stays locked until the transaction ends."""
    number = tx.scalar(
        update(Job)
        .where(Job.id == job_id)
        .values(num_events=Job.num_events + 1)
        .returning(Job.num_events)
        .execution_options(synchronize_session=False)
    )
    tx.add(
        Event(job_id=job_id, id=number, at=time.time(), level=level, type=type, message=message, data=dict(data or {}))
    )
    tx.flush()


def after(tx: Session, job_id: str, last: int, *, limit: int) -> list[Event]:
    """Up to `limit` events with numbers above `last`, in order."""
    query = select(Event).where(Event.job_id == job_id, Event.id > last).order_by(Event.id).limit(limit)
    return list(tx.scalars(query))


def newest(
    tx: Session, job_id: str, *, limit: int, before: int | None = None, levels: Sequence[str] = ()
) -> list[Event]:
    """Up to `limit` events, newest first, with numbers below `before`; `levels`: only of these.

    Their data are loaded when they are read.
    """
    query = (
        select(Event).options(defer(Event.data)).where(Event.job_id == job_id).order_by(Event.id.desc()).limit(limit)
    )
    if before is not None:
        query = query.where(Event.id < before)
    if levels:
        query = query.where(Event.level.in_(levels))
    return list(tx.scalars(query))


def data_after(tx: Session, job_id: str, type: Type, last: int, *, limit: int) -> list[tuple[int, dict[str, Any]]]:
    """Number and data of the newest `limit` events of a type with numbers above `last`, in order."""
    query = select(Event.id, Event.data).where(Event.job_id == job_id, Event.type == type, Event.id > last)
    return [(id, data) for id, data in tx.execute(query.order_by(Event.id.desc()).limit(limit))][::-1]
