"""The record of writes: who changed what, when, from where.

The record of a request is written in its transaction, so that no acknowledged change lacks one. A repetition with the
same `Idempotency-Key` executes nothing and has none. Of refused requests, those with status 403 are recorded. Commands
of the operator are recorded with the method `CLI`. No record has a body or a secret.
"""

import getpass
import socket
import time
from dataclasses import dataclass

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from store.access.principals import LOCAL
from store.ids import first_id_at, new_id
from store.models import AuditRecord

COMMAND = "CLI"
_PREFIX = "aud"
_MAX_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteRequest:
    """A request that changes something. `route`: its template, such as `/v1/jobs/{id}/cancel`."""

    owner: str
    key_id: str | None
    method: str
    route: str
    request_id: str | None
    client: str | None


def record(tx: Session, request: WriteRequest, *, resource_id: str | None, status: int | None) -> None:
    """Record an executed or refused request. `resource_id`: what it created or changed."""
    tx.execute(
        insert(AuditRecord.__table__),  # type: ignore[arg-type]
        {
            "id": new_id(_PREFIX),
            "at": time.time(),
            "owner": request.owner,
            "key_id": request.key_id,
            "method": request.method,
            "route": request.route[:_MAX_CHARS],
            "resource_id": resource_id[:_MAX_CHARS] if resource_id else None,
            "status": status,
            "request_id": request.request_id,
            "client": request.client,
        },
    )


def record_command(tx: Session, command: str, *, resource_id: str | None = None) -> None:
    """Record a command that changed the database without the API; its client is the user of this machine."""
    request = WriteRequest(
        owner=LOCAL, key_id=None, method=COMMAND, route=command, request_id=None, client=_user_and_host()
    )
    record(tx, request, resource_id=resource_id, status=None)


def page(
    tx: Session,
    *,
    limit: int,
    after: str | None,
    owner: str | None = None,
    resource_id: str | None = None,
    since: float | None = None,
) -> tuple[list[AuditRecord], bool]:
    """Up to `limit` records, newest first, that follow the one with the id `after`; and whether more follow.

    `since`: in seconds since 1970. Ids sort by time, so every combination of filters is a range of an index.
    """
    query = select(AuditRecord).order_by(AuditRecord.id.desc()).limit(limit + 1)
    if after is not None:
        query = query.where(AuditRecord.id < after)
    if owner is not None:
        query = query.where(AuditRecord.owner == owner)
    if resource_id is not None:
        query = query.where(AuditRecord.resource_id == resource_id)
    if since is not None:
        query = query.where(AuditRecord.id >= first_id_at(_PREFIX, since))
    rows = list(tx.scalars(query))
    return rows[:limit], len(rows) > limit


def delete_before(tx: Session, at: float, *, limit: int) -> int:
    """Delete up to `limit` of the oldest records from before this time; returns how many."""
    oldest = select(AuditRecord.id).where(AuditRecord.id < first_id_at(_PREFIX, at)).order_by(AuditRecord.id)
    deleted = delete(AuditRecord).where(AuditRecord.id.in_(oldest.limit(limit))).returning(AuditRecord.id)
    return len(tx.execute(deleted, execution_options={"synchronize_session": False}).all())


def _user_and_host() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container whose user has no name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"[:_MAX_CHARS]
