"""Blobs that no file of a bundle contains any more."""

import time
from collections.abc import Sequence

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from store.models import Blob, BlobPiece

_NO_SYNC = {"synchronize_session": False}


def blobs_of(tx: Session, checkpoint_ids: Sequence[str]) -> set[str]:
    """The sha256 of the blobs that these checkpoints contain."""
    query = select(BlobPiece.sha256).where(BlobPiece.checkpoint_id.in_(checkpoint_ids))
    return set(tx.scalars(query.distinct()))


def find_unused(tx: Session, *, older_than_s: float, limit: int) -> list[str]:
    """The sha256 of blobs that nothing contains, recorded `older_than_s` ago or earlier."""
    used = exists().where(BlobPiece.sha256 == Blob.sha256)
    query = select(Blob.sha256).where(Blob.created_at <= time.time() - older_than_s, ~used)
    return list(tx.scalars(query.order_by(Blob.sha256).limit(limit)))


def delete_unused(tx: Session, sha256s: Sequence[str]) -> list[str]:
    """Delete those of the blobs that nothing contains; returns the keys of their files, to be deleted afterwards."""
    # Locked before they are looked at: a transaction that adds a piece holds the blob (`writing.record_blobs`).
    locked = list(
        tx.scalars(select(Blob.sha256).where(Blob.sha256.in_(sha256s)).order_by(Blob.sha256).with_for_update())
    )
    used = set(tx.scalars(select(BlobPiece.sha256).where(BlobPiece.sha256.in_(locked)).distinct()))
    unused = [sha256 for sha256 in locked if sha256 not in used]
    keys = list(tx.scalars(select(Blob.file_key).where(Blob.sha256.in_(unused))))
    tx.execute(delete(Blob).where(Blob.sha256.in_(unused)), execution_options=_NO_SYNC)
    return keys
