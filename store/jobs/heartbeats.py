"""Heartbeats of long-lived processes, for `/readyz`."""

import time
from collections.abc import Mapping

from sqlalchemy import delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from store.models import Heartbeat

FRESH_S = 30.0


def record(tx: Session, *, name: str, role: str, num_gpus: int = 0) -> None:
    """Record that the process `name` is alive in its role (`sweeper`, `enrich`, `gpu`), and has `num_gpus` GPUs."""
    dialect = sqlite if tx.get_bind().dialect.name == "sqlite" else postgresql
    now = time.time()
    statement = dialect.insert(Heartbeat).values(name=name, role=role, at=now, num_gpus=num_gpus)
    changed = {"at": now, "role": role, "num_gpus": num_gpus}
    tx.execute(statement.on_conflict_do_update(index_elements=[Heartbeat.name], set_=changed))


def alive(tx: Session) -> Mapping[str, int]:
    """Role → number of processes with a heartbeat in the last `FRESH_S` seconds."""
    fresh = Heartbeat.at > time.time() - FRESH_S
    rows = tx.execute(select(Heartbeat.role, func.count()).where(fresh).group_by(Heartbeat.role))
    return {role: count for role, count in rows}


def delete_old(tx: Session) -> None:
    """Delete heartbeats that are older than an hour."""
    tx.execute(delete(Heartbeat).where(Heartbeat.at < time.time() - 3600.0))
