"""`Idempotency-Key`: the first POST with a key is carried out, each repetition gets the same answer.

The record is written in the transaction of what the POST makes. A second request with the key waits for the first
transaction (Postgres on the unique key, SQLite on the write lock) and then finds its answer; if the first rolled back,
the second takes its place.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from store.errors import Conflict
from store.models import IdempotencyRecord

KEEP_S = 24 * 3600.0
MAX_KEY_CHARS = 200


@dataclass(frozen=True)
class Answer:
    """What the first request was answered."""

    status: int
    headers: Mapping[str, Any]
    body: str


def find(tx: Session, *, principal: str, key: str, request_sha256: str) -> Answer | None:
    """The answer that the key has already given, reserving nothing; `Conflict` for another body."""
    record = tx.get(IdempotencyRecord, (principal, key))
    return None if record is None else _answer(record, request_sha256)


def begin(tx: Session, *, principal: str, key: str, request_sha256: str) -> Answer | None:
    """Reserve the key in this transaction (None), or the answer it has already given; `Conflict` for another body."""
    dialect = sqlite if tx.get_bind().dialect.name == "sqlite" else postgresql
    row = {"principal": principal, "key": key, "request_sha256": request_sha256, "created_at": time.time()}
    inserted = tx.scalar(
        dialect.insert(IdempotencyRecord).values(row).on_conflict_do_nothing().returning(IdempotencyRecord.key)
    )
    if inserted is not None:
        return None
    return _answer(tx.get_one(IdempotencyRecord, (principal, key), populate_existing=True), request_sha256)


def _answer(record: IdempotencyRecord, request_sha256: str) -> Answer:
    if record.request_sha256 != request_sha256:
        raise Conflict("idempotency_key_reused", "this Idempotency-Key was used for another request")
    if record.status is None:
        raise Conflict("idempotency_in_progress", "a request with this Idempotency-Key is under way")
    return Answer(record.status, record.headers or {}, record.body or "")


def end(tx: Session, *, principal: str, key: str, answer: Answer) -> None:
    """Keep the answer with the reserved key."""
    record = tx.get_one(IdempotencyRecord, (principal, key))
    record.status, record.headers, record.body = answer.status, dict(answer.headers), answer.body


def forget_old(tx: Session) -> None:
    """Drop records older than a day."""
    tx.execute(delete(IdempotencyRecord).where(IdempotencyRecord.created_at < time.time() - KEEP_S))
