"""The rows of uploads: created under the quota, advanced as bytes arrive, and sealed.

An upload reserves its declared bytes when it is created, so that uploads at the same time cannot exceed the quota. An
archive also reserves its unpacked bytes before it is unpacked.
"""

import time

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from store.errors import Conflict, NotFound, QuotaExceeded
from store.models import Upload

RECEIVING, COMPLETE = "receiving", "complete"
FILE_BYTES = 4096
"""A file counts as at least so many bytes, which it takes on the disk."""
_NO_SYNC = {"synchronize_session": False}


def get(tx: Session, id: str) -> Upload:
    """The upload. Raises NotFound."""
    row = tx.get(Upload, id)
    if row is None:
        raise NotFound("upload", id)
    return row


def find_unfinished(tx: Session, *, owner: str, inputs_digest: str) -> Upload | None:
    """The newest upload of the owner with the same name and files that is not complete."""
    query = select(Upload).where(
        Upload.inputs_digest == inputs_digest, Upload.owner == owner, Upload.status == RECEIVING
    )
    return tx.scalar(query.order_by(Upload.id.desc()).limit(1))


def reserved_bytes(tx: Session, *, beside: str = "") -> int:
    """What all uploads except `beside` count against the quota."""
    return int(tx.scalar(select(func.sum(Upload.reserved)).where(Upload.id != beside)) or 0)


def add(tx: Session, upload: Upload, *, quota_bytes: int) -> Upload:
    """Store a new upload. Raises QuotaExceeded."""
    _check_quota(tx, upload.reserved, quota_bytes)
    upload.created_at = upload.updated_at = time.time()
    upload.completed_at = None
    tx.add(upload)
    tx.flush()
    return upload


def reserve(tx: Session, id: str, num_bytes: int, *, quota_bytes: int) -> None:
    """Reserve so many bytes in all for an upload that is not complete. Raises QuotaExceeded and Conflict."""
    _check_quota(tx, num_bytes, quota_bytes, beside=id)
    _change(tx, id, reserved=num_bytes)


def release(tx: Session, id: str, num_bytes: int) -> None:
    """Reserve only so many bytes again, if the upload still exists."""
    changed = update(Upload).where(Upload.id == id, Upload.status == RECEIVING)
    tx.execute(changed.values(reserved=num_bytes), execution_options=_NO_SYNC)


def advance(tx: Session, id: str, *, start: int, end: int) -> None:
    """Acknowledge the bytes up to `end`; with `end < start`, bytes were lost. Raises Conflict if `start` is not what
    was received."""
    _change(tx, id, received=end, where=Upload.received == start)


def seal(tx: Session, id: str, *, path: str, num_files: int, reserved: int) -> Upload:
    """The upload is complete: its files do not change any more. Raises Conflict."""
    now = time.time()
    _change(tx, id, status=COMPLETE, path=path, num_files=num_files, reserved=reserved, completed_at=now)
    return tx.get_one(Upload, id, populate_existing=True)


def check_receiving(row: Upload) -> None:
    """Raise Conflict if the upload is complete."""
    if row.status != RECEIVING:
        raise Conflict("upload_complete", f"{row.id} is complete: make a new upload for other files")


def check_complete(row: Upload) -> None:
    """Raise Conflict if the upload is not complete."""
    if row.status != COMPLETE:
        detail = f"{row.id} has {row.received:,} of {row.size:,} bytes: send the rest and complete it"
        raise Conflict("upload_incomplete", detail)


def _change(tx: Session, id: str, *, where: object = True, **values: object) -> None:
    changed = update(Upload).where(Upload.id == id, Upload.status == RECEIVING, where)  # type: ignore[arg-type]
    statement = changed.values(updated_at=time.time(), **values).returning(Upload.id)
    if tx.scalar(statement, execution_options=_NO_SYNC) is None:
        check_receiving(get(tx, id))
        raise Conflict("upload_changed", f"another request has written to {id}: ask for its offset")


def _check_quota(tx: Session, num_bytes: int, quota_bytes: int, *, beside: str = "") -> None:
    """Until the transaction ends, no other one passes this check. SQLite has one writer at a time anyway."""
    if tx.get_bind().dialect.name == "postgresql":
        tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("quota of uploads", 0))))
    left = quota_bytes - reserved_bytes(tx, beside=beside)
    if num_bytes > left:
        raise QuotaExceeded(
            f"the upload needs {num_bytes:,} bytes, and {max(0, left):,} of LIMBECK_UPLOAD_QUOTA_BYTES "
            f"({quota_bytes:,}) are left: delete an upload, or raise the quota"
        )
