"""Event numbers ascend in commit order. On both databases."""

import threading

import pytest
from sqlalchemy import select

from store.db import Database
from store.jobs import claims, events
from store.jobs.claims import Claim
from store.jobs.jobs import NewPart
from store.models import Event
from tests.store.job_helpers import create_job, must_claim_next


@pytest.mark.slow
def test_event_numbers_have_no_gaps_with_several_writers(db: Database) -> None:
    job_id = create_job(db, *[NewPart(kind="describe", queue="enrich") for _ in range(4)], kind="enrich")
    held = [must_claim_next(db) for _ in range(4)]

    def write(claim: Claim) -> None:
        for n in range(20):
            with db.write() as tx:
                claims.note(tx, claim, "message", f"{n}")

    threads = [threading.Thread(target=write, args=(claim,)) for claim in held]
    seen: list[int] = []
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) or not seen or seen[-1] < 82:
        with db.read() as tx:
            seen += [event.id for event in events.after(tx, job_id, seen[-1] if seen else 0, limit=50)]
    for thread in threads:
        thread.join()
    assert seen == list(range(1, 83))
    with db.read() as tx:
        assert tx.scalars(select(Event.id).where(Event.job_id == job_id).order_by(Event.id)).all() == seen
