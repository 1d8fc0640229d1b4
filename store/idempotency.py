"""`Idempotency-Key`: the first POST with a key is executed, and repetitions get the same response.

The record is written in the transaction that executes the POST. A second request with the key waits for the first
transaction (Postgres on the unique key, SQLite on the write lock) and then finds its response. If the first transaction
rolled back, the second request is executed.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from store.errors import Conflict
from store.models import IdempotencyRecord

MAX_KEY_CHARS = 200


@dataclass(frozen=True)
class StoredResponse:
    """The response to the first request with a key."""

    status: int
    headers: Mapping[str, str]
    body: str


def find(tx: Session, *, principal: str, key: str, request_sha256: str) -> StoredResponse | None:
    """The stored response for the key, or None; reserves nothing. Raises `Conflict` if the request body differs."""
    record = tx.get(IdempotencyRecord, (principal, key))
    return None if record is None else _response_of(record, request_sha256)


def reserve(tx: Session, *, principal: str, key: str, request_sha256: str) -> StoredResponse | None:
    """Reserve the key in this transaction and return None, or return the stored response if the key was used before.

    Raises `Conflict` if the request body differs.
    """
    dialect = sqlite if tx.get_bind().dialect.name == "sqlite" else postgresql
    row = {"principal": principal, "key": key, "request_sha256": request_sha256, "created_at": time.time()}
    inserted = tx.scalar(
        dialect.insert(IdempotencyRecord).values(row).on_conflict_do_nothing().returning(IdempotencyRecord.key)
    )
    if inserted is not None:
        return None
    return _response_of(tx.get_one(IdempotencyRecord, (principal, key), populate_existing=True), request_sha256)


def _response_of(record: IdempotencyRecord, request_sha256: str) -> StoredResponse:
    if record.request_sha256 != request_sha256:
        detail = "this Idempotency-Key was used for another request; send this request with a new key"
        raise Conflict("idempotency_key_reused", detail)
    if record.status is None:
        detail = "a request with this Idempotency-Key is still running; repeat it later"
        raise Conflict("idempotency_in_progress", detail)
    return StoredResponse(record.status, record.headers or {}, record.body or "")


def save_response(tx: Session, *, principal: str, key: str, response: StoredResponse) -> None:
    """Store the response under the reserved key."""
    record = tx.get_one(IdempotencyRecord, (principal, key))
    record.status, record.headers, record.body = response.status, dict(response.headers), response.body


def count_expired(tx: Session, *, keep_s: float) -> tuple[int, int]:
    """The number of records older than `keep_s`, and the size of their bodies in characters."""
    size = func.coalesce(func.sum(func.length(IdempotencyRecord.body)), 0)
    number, num_chars = tx.execute(select(func.count(), size).where(_is_expired(keep_s))).one()
    return number, num_chars


def delete_expired(tx: Session, *, keep_s: float) -> None:
    """Delete records older than `keep_s`."""
    tx.execute(delete(IdempotencyRecord).where(_is_expired(keep_s)))


def _is_expired(keep_s: float) -> ColumnElement[bool]:
    return IdempotencyRecord.created_at < time.time() - keep_s
