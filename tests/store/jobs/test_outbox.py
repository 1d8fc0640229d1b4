"""Messages for queued parts, and training states to delete. On both databases."""

import time

from store.db import Database
from store.jobs import claims, outbox
from store.jobs.part_results import PartResult
from store.lifecycle import transitions
from store.models import Part
from tests.store.job_helpers import DISTILL_PARTS, create_job, must_claim_next


def test_a_message_is_sent_again_only_after_the_resend_time(db: Database) -> None:
    create_job(db, *DISTILL_PARTS)
    with db.write() as tx:
        ((part_id, queue),) = outbox.to_send(tx, resend_s=0.2)
        assert queue == "gpu"
        outbox.mark_sent(tx, [part_id])
        assert outbox.to_send(tx, resend_s=0.2) == []
    time.sleep(0.25)
    with db.write() as tx:
        assert [row[0] for row in outbox.to_send(tx, resend_s=0.2)] == [part_id]


def test_states_of_ended_parts_are_unused_until_forgotten(db: Database) -> None:
    create_job(db)
    claim = must_claim_next(db)
    with db.write() as tx:
        claims.save_state(tx, claim, "parts/state", units=1)
        assert outbox.unused_states(tx, keep_s=60.0) == []
        outbox.forget_states(tx, [claim.part_id])  # no effect: the part is running
        assert tx.get_one(Part, claim.part_id, populate_existing=True).state_key == "parts/state"
        transitions.finish(tx, claim, PartResult())
        assert outbox.unused_states(tx, keep_s=60.0) == [(claim.part_id, "parts/state")]
        outbox.forget_states(tx, [claim.part_id])
        assert outbox.unused_states(tx, keep_s=60.0) == []


def test_the_state_of_a_failed_part_is_kept_for_a_retry(db: Database) -> None:
    create_job(db)
    claim = must_claim_next(db)
    with db.write() as tx:
        claims.save_state(tx, claim, "parts/state", units=1)
        transitions.fail(tx, claim, code="x", message="m")
        assert outbox.unused_states(tx, keep_s=60.0) == []
        assert outbox.unused_states(tx, keep_s=-1.0) == [(claim.part_id, "parts/state")]
