"""Jobs, their parts and their events."""

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from store.json_types import TallyJSON
from store.models.base import Base, Owned

_UNFINISHED = text("finished_at IS NULL")


class Job(Owned, Base):
    """A job; its state is derived from its parts. `stopping`: null, `cancel`, `failure` or `pause`. `tally`: sums over
    its parts by kind, running parts excluded (see `store.jobs.progress`). `inputs_digest`: of everything that its
    result depends on (`api.jobs.inputs_digest`); jobs of earlier versions have none. `priority` orders queues.
    `trace_parent`: the W3C `traceparent` of the request that created it, if requests are traced."""

    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    status: Mapped[str] = mapped_column(index=True)
    spec: Mapped[dict[str, object]]
    inputs_digest: Mapped[str | None] = mapped_column(index=True)
    result: Mapped[dict[str, object] | None]
    error: Mapped[dict[str, str] | None]
    stopping: Mapped[str | None]
    priority: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    tally: Mapped[list[TallyJSON]]
    num_events: Mapped[int]
    trace_parent: Mapped[str | None]
    created_at: Mapped[float]
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]
    __table_args__ = (
        Index("ix_jobs_owner_id", "owner", "id"),
        Index("ix_jobs_kind_id", "kind", "id"),
        Index("ix_jobs_unfinished_owner", "owner", postgresql_where=_UNFINISHED, sqlite_where=_UNFINISHED),
    )


_RUNNING = text("status = 'running'")
_QUEUED = text("status = 'queued'")


class Part(Base):
    """A part of a job: the unit that workers claim, lease, retry and cancel.

    The parts of a stage may run at the same time; the next stage begins when all of them have ended. `holds_budget`:
    see `store.enrich.usage`. `gauges`: figures of a running part for Prometheus. `queued_at`: when it was queued last.
    `num_gpus`: a worker that has GPUs must have so many (see `store.jobs.claims.fits`).
    `attempts` counts all claims, and `idle_attempts` those in a row without progress, which are limited. `saved_units`:
    steps in the saved training state, or units of an enrichment whose results are stored. `priority`: of its job.
    `rendezvous`: where the other machines of its training find it (`store.lifecycle.nodes`).
    """

    __tablename__ = "parts"
    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str]
    position: Mapped[int]
    kind: Mapped[str]
    queue: Mapped[str]
    status: Mapped[str]
    stage: Mapped[int]
    spec: Mapped[dict[str, object]]
    result: Mapped[dict[str, object] | None]
    error: Mapped[dict[str, str] | None]
    attempts: Mapped[int]
    idle_attempts: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    saved_units: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    priority: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    lease_token: Mapped[str | None]
    lease_expires_at: Mapped[float | None]
    worker: Mapped[str | None]
    state_key: Mapped[str | None]
    not_before: Mapped[float]
    sent_at: Mapped[float | None]
    done: Mapped[int]
    total: Mapped[int]
    unit: Mapped[str]
    rate: Mapped[float | None]
    gauges: Mapped[dict[str, float] | None]
    queued_at: Mapped[float | None]
    holds_budget: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    num_gpus: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    rendezvous: Mapped[dict[str, object] | None]
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]
    __table_args__ = (
        # Parts are summed per kind at every state change, and running parts at every poll.
        Index("ix_parts_job_id_kind_position", "job_id", "kind", "position"),
        Index("ix_parts_running", "job_id", "kind", postgresql_where=_RUNNING, sqlite_where=_RUNNING),
        # The place of a job in its queue.
        Index("ix_parts_queued", "queue", "job_id", "not_before", postgresql_where=_QUEUED, sqlite_where=_QUEUED),
        Index(
            "ix_parts_urgency",
            *("queue", "priority", "job_id", "not_before"),
            postgresql_where=_QUEUED,
            sqlite_where=_QUEUED,
        ),
        # Workers and the sweeper look for a few live rows among all parts that ever ran.
        Index("ix_parts_status_queue", "status", "queue", "not_before"),
    )


class Event(Base):
    """An event of a job, numbered per job in commit order."""

    __tablename__ = "events"
    job_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[float]
    level: Mapped[str]
    type: Mapped[str]
    message: Mapped[str]
    data: Mapped[dict[str, object]]
