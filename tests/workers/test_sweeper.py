"""The sweeper deletes training states of ended parts. On both databases."""

from pathlib import Path

from store.db import Database
from store.jobs import claims
from store.jobs.part_results import PartResult
from store.lifecycle import transitions
from tests.workers.runtime.part_helpers import claim_new_part, make_context, read_rows
from workers.sweeper import Sweeper


def test_only_training_states_of_ended_parts_are_deleted(db: Database, tmp_path: Path) -> None:
    context = make_context(db, tmp_path)
    running, done = claim_new_part(context), claim_new_part(context)
    for claim in (running, done):
        context.artefacts.put_bytes(b"weights", f"{claim.place}/state/1")
        with context.db.write() as tx:
            claims.save_state(tx, claim, f"{claim.place}/state/1", units=1)
    with context.db.write() as tx:
        transitions.finish(tx, done, PartResult())
    Sweeper(context).sweep()
    kept = context.artefacts.local_path(f"{running.place}/state/1")
    deleted = context.artefacts.local_path(f"{done.place}/state/1")
    assert kept is not None
    assert deleted is not None
    assert (kept.exists(), deleted.exists()) == (True, False)
    assert read_rows(context, running)[1].state_key is not None
    assert read_rows(context, done)[1].state_key is None
