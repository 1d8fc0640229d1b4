"""Removals that go on, what upkeep has seen, and the counters of processes."""

from sqlalchemy import text
from sqlalchemy.orm import Mapped, mapped_column

from store.models.base import Base


class Removal(Base):
    """A deleted resource whose rows in large tables are still to be purged (`store.removal.purge`)."""

    __tablename__ = "removals"
    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    created_at: Mapped[float]


class UnlistedEntry(Base):
    """An attribute entry of a deleted page, which other pages may contain (`store.upkeep.unused_pages`)."""

    __tablename__ = "unlisted_entries"
    digest: Mapped[str] = mapped_column(primary_key=True)


class UpkeepTurn(Base):
    """A turn of one process to do something that two must not do at a time (`store.upkeep.turns`)."""

    __tablename__ = "upkeep_turns"
    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    expires_at: Mapped[float]


class Heartbeat(Base):
    """The last heartbeat of each long-lived process, for the readiness check. `num_gpus`: that a GPU worker may use."""

    __tablename__ = "beats"
    name: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str]
    at: Mapped[float]
    num_gpus: Mapped[int] = mapped_column(default=0, server_default=text("0"))


class CounterTotal(Base):
    """The running total of a series of a counter; it never falls. `labels`: a JSON list of the values of its labels."""

    __tablename__ = "counters"
    name: Mapped[str] = mapped_column(primary_key=True)
    labels: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[float]


class CounterIncrement(Base):
    """An increment that is not in its `CounterTotal` yet (see `store.jobs.counters`)."""

    __tablename__ = "counter_increments"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    labels: Mapped[str]
    value: Mapped[float]
