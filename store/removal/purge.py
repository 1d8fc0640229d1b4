"""The rows of large tables that belonged to deleted resources: deleted some thousands at a time.

A deletion leaves a row in `removals`. Whoever deleted the resource purges at once for a short time, and the sweeper
does the rest, also after a crash. Several processes may purge the same rows.
"""

import time
from typing import cast

from sqlalchemy import delete, inspect, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from store.db import Database
from store.models import Base, Removal
from store.removal.holds import Kind
from store.removal.kinds import PURGED

ROWS_PER_TRANSACTION = 2_000
_NO_SYNC = {"synchronize_session": False}


def purge(db: Database, *, for_s: float, rows: int = ROWS_PER_TRANSACTION) -> bool:
    """Delete rows of deleted resources until there are none, or for `for_s` seconds. Returns whether none is left.

    Each transaction deletes at most `rows` rows, so that no other writer waits for long.
    """
    give_up_at = time.monotonic() + for_s
    while True:
        with db.read() as tx:
            removal = tx.scalar(select(Removal).order_by(Removal.created_at).limit(1))
        if removal is None:
            return True
        for model, owner in PURGED[cast(Kind, removal.kind)]:
            while _delete_some(db, model, owner, removal.id, rows) == rows:
                if time.monotonic() > give_up_at:
                    return False
        with db.write() as tx:
            tx.execute(delete(Removal).where(Removal.id == removal.id), execution_options=_NO_SYNC)
        if time.monotonic() > give_up_at:
            return False


def _delete_some(db: Database, model: type[Base], owner: InstrumentedAttribute[str], id: str, rows: int) -> int:
    """The number of deleted rows, at most `rows`."""
    key = inspect(model).primary_key
    some = select(*key).where(owner == id).limit(rows)
    with db.write() as tx:
        result = tx.execute(delete(model).where(tuple_(*key).in_(some)), execution_options=_NO_SYNC)
        return int(result.rowcount)  # type: ignore[attr-defined]
