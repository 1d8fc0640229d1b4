"""One round of the clean-up that the sweeper does by itself, and `limbeck gc` on request.

Several processes may call it. Only the one that holds the lock of `store.upkeep.turns` deletes files and rows of the
artefact store; a backup holds this lock while it copies. Everything is done in small transactions.
"""

from dataclasses import dataclass

from store.artefacts import Artefacts
from store.blobs import unused as blobs
from store.db import Database
from store.jobs import outbox
from store.removal.purge import purge
from store.settings import Settings
from store.upkeep import attempt_states, expired_records, old_audit, retention, turns, unused_artefacts, unused_pages
from store.upkeep.unused_artefacts import UnusedArtefact
from store.uploads import upkeep as uploads

_BLOBS = 200


@dataclass(frozen=True)
class Swept:
    """What a round removed. `num_features`: chunks of features; `num_pages`, `num_entries`: of attribute sets;
    `num_uploads`: uploads that were not completed."""

    files: tuple[UnusedArtefact, ...] = ()
    num_events: int = 0
    num_drafts: int = 0
    num_features: int = 0
    num_pages: int = 0
    num_entries: int = 0
    num_uploads: int = 0


def sweep_records(db: Database, settings: Settings) -> None:
    """Delete expired records, and the rows of deleted resources. Cheap; any number of processes."""
    with db.write() as tx:
        expired_records.delete_expired(tx, keep_s=settings.keep_idempotency_s)
    old_audit.delete_old(db, settings.keep_audit_s)
    purge(db, for_s=5.0)


def sweep_states(db: Database, artefacts: Artefacts, holder: str, *, keep_s: float) -> None:
    """Delete the training states of parts that have ended, unless another process has the turn.

    `keep_s`: how long a part that failed or was cancelled may be retried.
    """
    with db.read() as tx:
        unused = outbox.unused_states(tx, keep_s=keep_s)
    if not unused:
        return
    with turns.turn(db, turns.FILES, holder) as has_it:
        if has_it:
            for part_id, _ in unused:
                attempt_states.delete_states(artefacts, part_id, keep=())
            with db.write() as tx:
                outbox.forget_states(tx, [part_id for part_id, _ in unused])


def sweep(
    db: Database, artefacts: Artefacts, settings: Settings, holder: str, *, grace_s: float = unused_artefacts.GRACE_S
) -> Swept | None:
    """Remove what nothing refers to, and what the settings do not keep. None if another process has the turn."""
    with turns.turn(db, turns.FILES, holder) as has_it:
        if not has_it:
            return None
        _forget_blobs(db, grace_s)
        keep_s = settings.keep_features_s
        num_features = retention.delete_old_features(db, keep_s=keep_s) if keep_s else 0
        found = unused_artefacts.find_unused(db, artefacts, grace_s=grace_s)
        files = unused_artefacts.delete_unused(db, artefacts, found)
        num_pages, num_entries = unused_pages.delete_unused_pages(db)
        return Swept(
            tuple(files),
            retention.delete_old_events(db, keep_s=settings.keep_events_s) if settings.keep_events_s else 0,
            retention.delete_old_drafts(db, keep_s=settings.keep_drafts_s) if settings.keep_drafts_s else 0,
            num_features,
            num_pages,
            num_entries,
            uploads.delete_expired(db, settings),
        )


def _forget_blobs(db: Database, grace_s: float) -> None:
    """Delete the rows of blobs that nothing contains; their files are then unused too."""
    while True:
        with db.write() as tx:
            found = blobs.find_unused(tx, older_than_s=grace_s, limit=_BLOBS)
            if not found or not blobs.delete_unused(tx, found):
                return
