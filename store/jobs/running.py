"""The part that a worker process runs, as its rows show it: for the parent that watches the process from outside."""

from dataclasses import dataclass

from sqlalchemy import Select, literal_column, select
from sqlalchemy.orm import Session

from store.jobs.progress import STAGE_NAMES
from store.json_types import TallyJSON
from store.models import Job, Part


@dataclass(frozen=True, kw_only=True)
class WatchedPart:
    """A part that a process has claimed. `token` identifies the attempt; `stopping`: why the job asks it to stop.

    `phase` is what users call the current step of the part, with its progress in units.
    """

    part_id: str
    job_id: str
    kind: str
    token: str
    phase: str
    done: int
    total: int
    unit: str
    state_key: str | None
    stopping: str | None

    @property
    def place(self) -> str:
        """Where the part stands: `training, 40 of 100 steps`."""
        counts = f", {self.done:,} of {self.total:,} {self.unit}" if self.total else ""
        return f"{self.phase}{counts}"

    @property
    def mark(self) -> tuple[object, ...]:
        """Whatever changes when the part makes progress."""
        return self.phase, self.done, self.total, self.unit, self.state_key


def of_worker(tx: Session, worker: str) -> WatchedPart | None:
    """The part that the worker `host:pid` runs; None if it runs none."""
    row = tx.execute(_of_worker(worker)).first()
    if row is None:
        return None
    return WatchedPart(
        part_id=row.id,
        job_id=row.job_id,
        kind=row.kind,
        token=row.lease_token,
        phase=_phase(row.kind, row.tally),
        done=row.done,
        total=row.total,
        unit=row.unit,
        state_key=row.state_key,
        stopping=row.stopping,
    )


def _of_worker(worker: str) -> Select[*tuple[object, ...]]:
    columns = (Part.id, Part.job_id, Part.kind, Part.lease_token, Part.done, Part.total, Part.unit, Part.state_key)
    # The status is a literal, so that the partial index over running parts is used.
    running = Part.status == literal_column("'running'")
    return (
        select(*columns, Job.stopping, Job.tally).join(Job, Job.id == Part.job_id).where(running, Part.worker == worker)
    )


def _phase(kind: str, tally: list[TallyJSON]) -> str:
    for stored in tally:
        if stored["kind"] == kind and stored.get("phases"):
            return stored["phases"][-1]["name"]
    return STAGE_NAMES.get(kind, kind)
