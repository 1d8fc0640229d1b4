"""Removes events of ended jobs, unsealed edits, and teacher features that no job uses, after the times in the settings.

Each transaction is small, so that no other writer waits for long.
"""

import time
from collections.abc import Mapping

from sqlalchemy import delete, func, select, tuple_

from store.db import Database
from store.jobs import feature_chunks
from store.models import AttributeDraft, AttributeDraftEntry, Event, Job
from store.sets import drafts

_ROWS, _DRAFTS, _CHUNKS = 2_000, 20, 500
_NO_SYNC = {"synchronize_session": False}


def delete_old_events(db: Database, *, keep_s: float) -> int:
    """Delete events of jobs that ended more than `keep_s` ago; returns their number.

    Events of type `state` stay: they say when a job began and ended, and a stream of events ends with the last one.
    """
    old = select(Job.id).where(Job.finished_at < time.time() - keep_s)
    some = select(Event.job_id, Event.id).where(Event.job_id.in_(old), Event.type != "state").limit(_ROWS)
    total, number = 0, _ROWS
    while number == _ROWS:
        with db.write() as tx:
            statement = delete(Event).where(tuple_(Event.job_id, Event.id).in_(some))
            number = int(tx.execute(statement, execution_options=_NO_SYNC).rowcount)  # type: ignore[attr-defined]
        total += number
    return total


def delete_old_drafts(db: Database, *, keep_s: float) -> int:
    """Empty drafts whose last edit is more than `keep_s` ago; returns their number. Their version goes on."""
    total, set_ids = 0, ["…"]
    while set_ids:
        with db.write() as tx:
            is_edited = (
                select(func.count()).where(AttributeDraftEntry.set_id == AttributeDraft.set_id).scalar_subquery()
            )
            query = select(AttributeDraft.set_id).where(AttributeDraft.updated_at < time.time() - keep_s, is_edited > 0)
            set_ids = list(tx.scalars(query.limit(_DRAFTS)))
            for set_id in set_ids:
                drafts.advance(tx, set_id, None)
                drafts.drop(tx, set_id)
        total += len(set_ids)
    return total


def delete_old_features(db: Database, *, keep_s: float) -> int:
    """Delete the rows of teacher features that no job used for `keep_s`; returns their number.

    Their files are then unused. A chunk that a job uses which has not ended stays.
    """
    before, found = _old_features(db, keep_s)
    digests, total = list(found), 0
    for start in range(0, len(digests), _CHUNKS):
        with db.write() as tx:
            total += feature_chunks.forget(tx, digests[start : start + _CHUNKS], before=before)
    return total


def old_features(db: Database, *, keep_s: float) -> set[str]:
    """The artefact keys of the chunks that `delete_old_features` would forget."""
    return set(_old_features(db, keep_s)[1].values())


def _old_features(db: Database, keep_s: float) -> tuple[float, Mapping[str, str]]:
    with db.read() as tx:
        # Read before the results of parts: a part that ends in between has named its chunks there.
        before = feature_chunks.unused_before(tx, keep_s=keep_s)
        return before, feature_chunks.find_unused(tx, before=before)
