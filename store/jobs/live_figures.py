"""Figures of jobs and parts that have not ended, for Prometheus. Ended ones are counted in `store.jobs.counters`, so
that a scrape does not read every job that ever ran."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import case, func, literal_column, select
from sqlalchemy.orm import Session

from store.clock import now_s
from store.jobs.jobs import ACTIVE, LIVE
from store.models import Job, Part

QUEUES = ("enrich", "gpu")


@dataclass(frozen=True)
class QueueFigures:
    """`depth`: queued parts that may start now. `oldest_s`: how long the first of them has waited; 0 without any."""

    depth: int = 0
    oldest_s: float = 0.0


@dataclass(frozen=True)
class HeldPart:
    """A running part that reports gauges, such as `images_per_second`; `worker` is `host:pid`."""

    job_id: str
    kind: str
    worker: str
    gauges: Mapping[str, float]


def active_jobs(tx: Session) -> Mapping[tuple[str, str], int]:
    """(kind, status) -> number of jobs that have not ended."""
    query = select(Job.kind, Job.status, func.count()).where(Job.status.in_(ACTIVE)).group_by(Job.kind, Job.status)
    return {(kind, status): count for kind, status, count in tx.execute(query)}


def live_parts(tx: Session) -> Mapping[tuple[str, str], int]:
    """(queue, status) -> number of parts that have not ended."""
    query = select(Part.queue, Part.status, func.count()).where(Part.status.in_(LIVE))
    return {(queue, status): count for queue, status, count in tx.execute(query.group_by(Part.queue, Part.status))}


def queues(tx: Session) -> Mapping[str, QueueFigures]:
    """Queue -> its figures, for every queue. Parts that were queued by an earlier release have no age."""
    due_since = case((Part.queued_at < Part.not_before, Part.not_before), else_=Part.queued_at)
    query = select(Part.queue, func.count(), now_s() - func.min(due_since)).where(
        Part.status == literal_column("'queued'"), Part.not_before <= now_s()
    )
    found = dict.fromkeys(QUEUES, QueueFigures())
    for queue, depth, oldest_s in tx.execute(query.group_by(Part.queue)):
        found[queue] = QueueFigures(depth, max(0.0, oldest_s or 0.0))
    return found


def running_gauges(tx: Session) -> list[HeldPart]:
    """The running parts that report gauges."""
    query = select(Part.job_id, Part.kind, Part.worker, Part.gauges)
    query = query.where(Part.status == literal_column("'running'"), Part.gauges.is_not(None)).order_by(Part.id)
    rows = tx.execute(query)
    return [HeldPart(job_id, kind, worker or "", gauges or {}) for job_id, kind, worker, gauges in rows]
