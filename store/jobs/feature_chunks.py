"""Chunks of teacher features in the artefact store, found by the digest of everything that they depend on."""

import time
from collections.abc import Mapping, Sequence

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from store.artefacts import StoredArtefact
from store.jobs.jobs import ENDED
from store.jobs.part_results import FeaturesResult
from store.models import FeatureChunk, Job, Part

PREFIX = "features"
"""The artefact prefix of chunks. They stay when the job that encoded them is deleted."""
_NO_SYNC = {"synchronize_session": False}


def use(tx: Session, digest: str) -> str | None:
    """The artefact key of the chunk, which counts as used now; None if it is not stored."""
    used = update(FeatureChunk).where(FeatureChunk.digest == digest).values(last_used_at=time.time())
    return tx.scalar(used.returning(FeatureChunk.file_key), execution_options=_NO_SYNC)


def put(tx: Session, digest: str, file: StoredArtefact, *, num_rows: int) -> None:
    """Record a chunk, in place of an earlier file: that was missing, or another worker has just written the same."""
    now = time.time()
    dialect = sqlite if tx.get_bind().dialect.name == "sqlite" else postgresql
    values = {"file_key": file.key, "num_rows": num_rows, "size": file.size, "created_at": now, "last_used_at": now}
    inserted = dialect.insert(FeatureChunk).values(digest=digest, **values)
    tx.execute(inserted.on_conflict_do_update(index_elements=["digest"], set_=values))


def unused_before(tx: Session, *, keep_s: float) -> float:
    """Chunks that were last used before this time may be removed: `keep_s` ago, and before any running part began."""
    started: float | None = tx.scalar(select(func.min(Part.started_at)).where(Part.status == "running"))
    return min(time.time() - keep_s, started or float("inf"))


def find_unused(tx: Session, *, before: float) -> Mapping[str, str]:
    """Digest -> artefact key of the chunks last used before this time that no job uses which has not ended."""
    results = select(Part.result).join(Job, Job.id == Part.job_id).where(Part.kind == FeaturesResult.part_kind)
    of_live_jobs = tx.scalars(results.where(Job.status.not_in(ENDED), Part.result.is_not(None)))
    needed = {key for result in of_live_jobs if result for key in FeaturesResult.model_validate(result).files.values()}
    rows = tx.execute(select(FeatureChunk.digest, FeatureChunk.file_key).where(FeatureChunk.last_used_at < before))
    return {digest: key for digest, key in rows if key not in needed}


def forget(tx: Session, digests: Sequence[str], *, before: float) -> int:
    """Delete the rows of these chunks that were not used since they were found; returns their number."""
    is_old = FeatureChunk.last_used_at < before
    statement = delete(FeatureChunk).where(FeatureChunk.digest.in_(digests), is_old).returning(FeatureChunk.digest)
    return len(list(tx.scalars(statement, execution_options=_NO_SYNC)))
