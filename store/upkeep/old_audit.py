"""Records of writes that are older than the operator keeps them (`LIMBECK_KEEP_AUDIT_S`)."""

import time

from store.access import audit
from store.db import Database

_BATCH = 5_000


def delete_old(db: Database, keep_s: float) -> int:
    """Delete the records of writes older than `keep_s`, in short transactions; returns how many."""
    before, total, deleted = time.time() - keep_s, 0, _BATCH
    while deleted == _BATCH:
        with db.write() as tx:
            deleted = audit.delete_before(tx, before, limit=_BATCH)
        total += deleted
    return total
