"""Heartbeats: live processes by role, old rows deleted. On both databases."""

from sqlalchemy import func, select, update

from store.db import Database
from store.jobs import heartbeats
from store.models import Heartbeat


def test_only_recent_heartbeats_are_alive_and_old_ones_are_deleted(db: Database) -> None:
    with db.write() as tx:
        for name, role in (("a:gpu", "gpu"), ("a:gpu", "gpu"), ("b:gpu", "gpu"), ("c", "sweeper"), ("d", "enrich")):
            heartbeats.record(tx, name=name, role=role)
        assert heartbeats.alive(tx) == {"gpu": 2, "sweeper": 1, "enrich": 1}
        stale_s = heartbeats.FRESH_S + 1
        tx.execute(update(Heartbeat).where(Heartbeat.name == "c").values(at=Heartbeat.at - stale_s))
        tx.execute(update(Heartbeat).where(Heartbeat.name == "d").values(at=Heartbeat.at - 3601))
        assert heartbeats.alive(tx) == {"gpu": 2}
        heartbeats.delete_old(tx)
        assert tx.scalar(select(func.count()).select_from(Heartbeat)) == 3
