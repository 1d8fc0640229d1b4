"""Turns: a lease by name, so that two processes do not clean up at once, and none while a backup copies the files."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from store.clock import now_s
from store.db import Database
from store.models import UpkeepTurn
from store.unique_rows import insert_ignore

FILES = "files"
"""The lock of the process that deletes artefacts, or that needs all artefacts to stay."""
TURN_S = 1800.0
_NO_SYNC = {"synchronize_session": False}


def take(tx: Session, name: str, holder: str, *, for_s: float = TURN_S) -> bool:
    """Take or renew a turn; False if another process has it."""
    insert_ignore(tx, UpkeepTurn, [{"name": name, "holder": "", "expires_at": 0.0}])
    free = or_(UpkeepTurn.holder == holder, UpkeepTurn.expires_at < now_s())
    taken = update(UpkeepTurn).where(UpkeepTurn.name == name, free).values(holder=holder, expires_at=now_s() + for_s)
    return tx.scalar(taken.returning(UpkeepTurn.name), execution_options=_NO_SYNC) is not None


def is_taken(tx: Session, name: str) -> bool:
    """Whether a process has the turn now."""
    query = select(UpkeepTurn.name).where(UpkeepTurn.name == name, UpkeepTurn.expires_at >= now_s())
    return tx.scalar(query) is not None


def give_back(tx: Session, name: str, holder: str) -> None:
    """End a turn early."""
    ended = delete(UpkeepTurn).where(UpkeepTurn.name == name, UpkeepTurn.holder == holder)
    tx.execute(ended, execution_options=_NO_SYNC)


@contextmanager
def turn(db: Database, name: str, holder: str) -> Iterator[bool]:
    """Whether this process has the turn inside the block; it ends with the block."""
    with db.write() as tx:
        has_it = take(tx, name, holder)
    try:
        yield has_it
    finally:
        if has_it:
            with db.write() as tx:
                give_back(tx, name, holder)
