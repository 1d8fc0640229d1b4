"""Checkpoints of a training that runs: the newest `keep` of those after every n-th epoch.

They belong to the job, also after its end: they are deleted with it. A training that was stopped resumes from a state
that can be older than its newest checkpoint. What it stores again has the same epoch and is kept as it is.
"""

import time
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from store.artefacts import StoredArtefact
from store.errors import NotFound
from store.jobs import claims
from store.jobs.claims import Claim
from store.models import EpochCheckpoint, EpochFile

_NO_SYNC = {"synchronize_session": False}


def page(tx: Session, job_id: str, *, limit: int, after: int = 0) -> tuple[list[EpochCheckpoint], bool]:
    """Up to `limit` checkpoints of a job after an epoch, by epoch, and whether more follow."""
    query = select(EpochCheckpoint).where(EpochCheckpoint.job_id == job_id, EpochCheckpoint.epoch > after)
    rows = list(tx.scalars(query.order_by(EpochCheckpoint.epoch).limit(limit + 1)))
    return rows[:limit], len(rows) > limit


def get(tx: Session, job_id: str, epoch: int) -> EpochCheckpoint:
    """The checkpoint after an epoch, or `NotFound`."""
    row = tx.get(EpochCheckpoint, (job_id, epoch))
    if row is None:
        raise NotFound("checkpoint", f"{job_id}, epoch {epoch}")
    return row


def files_of(tx: Session, job_id: str, epochs: Collection[int]) -> list[EpochFile]:
    """The files of checkpoints, by epoch and path."""
    query = select(EpochFile).where(EpochFile.job_id == job_id, EpochFile.epoch.in_(epochs))
    return list(tx.scalars(query.order_by(EpochFile.epoch, EpochFile.path)))


def file(tx: Session, job_id: str, epoch: int, path: str) -> EpochFile:
    """One file of a checkpoint, or `NotFound`."""
    row = tx.get(EpochFile, (job_id, epoch, path))
    if row is None:
        raise NotFound("file", path)
    return row


def is_wanted(tx: Session, job_id: str, epoch: int, *, keep: int) -> bool:
    """Whether the checkpoint after an epoch is missing among the newest `keep`."""
    epochs = _newest(tx, job_id, keep)
    return epoch not in epochs and (len(epochs) < keep or epoch > min(epochs))


def stored_files(tx: Session, job_id: str) -> dict[str, StoredArtefact]:
    """sha256 → a stored file with this content, of all checkpoints of the job."""
    rows = tx.scalars(select(EpochFile).where(EpochFile.job_id == job_id))
    return {row.sha256: StoredArtefact(row.file_key, row.sha256, row.size) for row in rows}


def add(
    tx: Session,
    claim: Claim,
    *,
    epoch: int,
    step: int,
    metrics: Mapping[str, float] | None,
    files: Sequence[tuple[str, StoredArtefact]],
    keep: int,
    message: str,
) -> list[str]:
    """Add a checkpoint with its files as (path, artefact), and an event; drop the oldest ones above `keep`.

    Returns the keys of files of dropped checkpoints, some of which may be shared with others. Raises LeaseLost.
    """
    claims.note(tx, claim, "message", message, data={"checkpoint_epoch": epoch, **(metrics or {})})
    if not is_wanted(tx, claim.job_id, epoch, keep=keep):
        return [file.key for _, file in files]
    tx.add(
        EpochCheckpoint(
            job_id=claim.job_id,
            epoch=epoch,
            step=step,
            metrics=None if metrics is None else dict(metrics),
            created_at=time.time(),
        )
    )
    tx.flush()
    tx.add_all(
        EpochFile(job_id=claim.job_id, epoch=epoch, path=path, sha256=one.sha256, size=one.size, file_key=one.key)
        for path, one in files
    )
    tx.flush()
    first_kept = min(_newest(tx, claim.job_id, keep))
    old_files = (EpochFile.job_id == claim.job_id, EpochFile.epoch < first_kept)
    keys = list(tx.scalars(select(EpochFile.file_key).where(*old_files)))
    tx.execute(delete(EpochFile).where(*old_files), execution_options=_NO_SYNC)
    old = (EpochCheckpoint.job_id == claim.job_id, EpochCheckpoint.epoch < first_kept)
    tx.execute(delete(EpochCheckpoint).where(*old), execution_options=_NO_SYNC)
    return keys


def _newest(tx: Session, job_id: str, keep: int) -> list[int]:
    query = select(EpochCheckpoint.epoch).where(EpochCheckpoint.job_id == job_id)
    return list(tx.scalars(query.order_by(EpochCheckpoint.epoch.desc()).limit(keep)))
