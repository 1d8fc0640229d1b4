"""Pages and entries of attribute sets that no set contains any more.

Sets share them by content, so a set that is deleted leaves them. A transaction that stores entries and pages holds
`attribute_sets.share_contents`; pages and entries are deleted only under the exclusive lock, in small transactions, and
a step that does not get it at once is left to the next round.

The entries of a deleted page are noted in `unlisted_entries`. Whoever stores an entry again removes its note; a look
at all pages removes the notes of entries that others contain; the entries of the notes that are left are deleted.
"""

from sqlalchemy import delete, exists, func, select
from sqlalchemy.orm import Session

from store.db import Database
from store.models import AttributeEntry, AttributePage, AttributeSetPage, EnrichPage, UnlistedEntry
from store.sets.attribute_sets import try_to_own_contents
from store.unique_rows import insert_ignore

_PAGES, _ENTRIES, _SCANNED = 50, 2_000, 500
_NO_SYNC = {"synchronize_session": False}


def delete_unused_pages(db: Database) -> tuple[int, int]:
    """Delete unused pages and entries; the numbers of both."""
    num_pages = 0
    while number := _delete_pages(db):
        num_pages += number
    with db.read() as tx:
        is_noted = tx.scalar(select(UnlistedEntry.digest).limit(1)) is not None
    if not is_noted:
        return num_pages, 0
    _keep_listed(db)
    num_entries = 0
    while number := _delete_entries(db):
        num_entries += number
    return num_pages, num_entries


def _delete_pages(db: Database) -> int:
    with db.write() as tx:
        if not try_to_own_contents(tx):
            return 0
        in_set = exists().where(AttributeSetPage.digest == AttributePage.digest)
        in_job = exists().where(EnrichPage.digest == AttributePage.digest)
        query = select(AttributePage.digest, AttributePage.entries).where(~in_set, ~in_job).limit(_PAGES)
        rows = tx.execute(query).all()
        entries = sorted({entry for _, digests in rows for entry in digests if entry})
        insert_ignore(tx, UnlistedEntry, [{"digest": entry} for entry in entries])
        unused = delete(AttributePage).where(AttributePage.digest.in_([digest for digest, _ in rows]))
        tx.execute(unused, execution_options=_NO_SYNC)
        return len(rows)


def _keep_listed(db: Database) -> None:
    """Remove the notes of entries that a page contains."""
    after = ""
    while True:
        with db.read() as tx:
            query = select(AttributePage.digest, AttributePage.entries).where(AttributePage.digest > after)
            rows = tx.execute(query.order_by(AttributePage.digest).limit(_SCANNED)).all()
            if not rows:
                return
            listed = sorted({entry for _, digests in rows for entry in digests if entry})
            starts = range(0, len(listed), _ENTRIES)
            noted = [digest for start in starts for digest in _noted(tx, listed[start : start + _ENTRIES])]
        after = rows[-1][0]
        for start in range(0, len(noted), _ENTRIES):
            with db.write() as tx:
                _forget(tx, noted[start : start + _ENTRIES])


def _noted(tx: Session, digests: list[str]) -> list[str]:
    return list(tx.scalars(select(UnlistedEntry.digest).where(UnlistedEntry.digest.in_(digests))))


def _forget(tx: Session, digests: list[str]) -> None:
    tx.execute(delete(UnlistedEntry).where(UnlistedEntry.digest.in_(digests)), execution_options=_NO_SYNC)


def _delete_entries(db: Database) -> int:
    with db.write() as tx:
        if not try_to_own_contents(tx):
            return 0
        digests = list(tx.scalars(select(UnlistedEntry.digest).limit(_ENTRIES)))
        tx.execute(delete(AttributeEntry).where(AttributeEntry.digest.in_(digests)), execution_options=_NO_SYNC)
        _forget(tx, digests)
        return len(digests)


def count_unused_pages(tx: Session) -> int:
    """The number of pages that no set and no job contains."""
    in_set = exists().where(AttributeSetPage.digest == AttributePage.digest)
    in_job = exists().where(EnrichPage.digest == AttributePage.digest)
    return tx.scalar(select(func.count()).select_from(AttributePage).where(~in_set, ~in_job)) or 0
