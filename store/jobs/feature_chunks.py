"""Chunks of teacher features in the artefact store, found by the digest of everything that they depend on."""

import time
from collections.abc import Mapping, Sequence

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from store.artefacts import StoredArtefact
from store.models import FeatureChunk

PREFIX = "features"
"""The artefact prefix of chunks. They stay when the job that encoded them is deleted."""


def keys(tx: Session, digests: Sequence[str]) -> Mapping[str, str]:
    """Digest -> artefact key of the chunks that are stored."""
    rows = tx.execute(select(FeatureChunk.digest, FeatureChunk.file_key).where(FeatureChunk.digest.in_(digests)))
    return {digest: key for digest, key in rows}


def put(tx: Session, digest: str, file: StoredArtefact, *, num_rows: int) -> None:
    """Record a chunk, in place of an earlier file: that was missing, or another worker has just written the same."""
    now = time.time()
    dialect = sqlite if tx.get_bind().dialect.name == "sqlite" else postgresql
    values = {"file_key": file.key, "num_rows": num_rows, "size": file.size, "created_at": now, "last_used_at": now}
    inserted = dialect.insert(FeatureChunk).values(digest=digest, **values)
    tx.execute(inserted.on_conflict_do_update(index_elements=["digest"], set_=values))


def mark_used(tx: Session, digests: Sequence[str]) -> None:
    """Record that these chunks were used now: those that were not used for long are deleted first."""
    if digests:
        tx.execute(
            update(FeatureChunk).where(FeatureChunk.digest.in_(digests)).values(last_used_at=time.time()),
            execution_options={"synchronize_session": False},
        )
