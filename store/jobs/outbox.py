"""Messages that the sweeper sends for queued parts, and training states that it deletes after parts have ended."""

from collections.abc import Mapping, Sequence

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from store.clock import now_s
from store.jobs.jobs import ENDED
from store.models import Part


def to_send(tx: Session, *, resend_s: float, limit: int = 500) -> list[tuple[str, str]]:
    """(part id, queue) of queued parts without a message in the last `resend_s` seconds."""
    unsent = or_(Part.sent_at.is_(None), Part.sent_at < now_s() - resend_s)
    query = select(Part.id, Part.queue).where(Part.status == "queued", Part.not_before <= now_s(), unsent)
    query = query.order_by(Part.priority.desc(), Part.job_id, Part.position).limit(limit)
    return [(row.id, row.queue) for row in tx.execute(query)]


def count_queued(tx: Session) -> Mapping[str, int]:
    """Queue → number of its queued parts; queues without any are left out."""
    query = select(Part.queue, func.count()).where(Part.status == "queued").group_by(Part.queue)
    return {queue: number for queue, number in tx.execute(query)}


def mark_sent(tx: Session, part_ids: Sequence[str]) -> None:
    """Record that a message was sent for each of these parts now."""
    tx.execute(update(Part).where(Part.id.in_(part_ids)).values(sent_at=now_s()))


def send_again(tx: Session, part_id: str, *, in_s: float, resend_s: float) -> None:
    """Have a message sent for a queued part in `in_s` seconds: a worker took the last one, and cannot run the part."""
    queued = update(Part).where(Part.id == part_id, Part.status == "queued")
    tx.execute(queued.values(sent_at=now_s() - resend_s + in_s))


def mark_unsent(tx: Session, part_id: str) -> None:
    """Have another message sent for a part whose message was used for a more urgent one."""
    tx.execute(update(Part).where(Part.id == part_id, Part.status == "queued").values(sent_at=None))


def unused_states(tx: Session, *, keep_s: float, limit: int = 100) -> list[tuple[str, str]]:
    """(part id, state key) of parts that have ended and will not resume from their training state.

    A part that failed or was cancelled may be retried for `keep_s` after its end.
    """
    too_old = Part.status.in_(ENDED) & (Part.finished_at < now_s() - keep_s)
    query = select(Part.id, Part.state_key).where(Part.state_key.is_not(None), or_(Part.status == "succeeded", too_old))
    return [(row.id, row.state_key) for row in tx.execute(query.limit(limit))]


def forget_states(tx: Session, part_ids: Sequence[str]) -> None:
    """Remove the pointers to training states whose files were deleted."""
    tx.execute(update(Part).where(Part.id.in_(part_ids), Part.status.in_(ENDED)).values(state_key=None))
