"""Calls in flight: who is making which, so that jobs that run at the same time make one call per key.

A part takes the keys of what it is about to ask, renews them while it asks, and lets each go in the transaction that
keeps its answer. Whoever needs a key that another part holds waits for the answer; a key that was let go without one
(its call failed), or whose holder fell silent for the length of a lease, can be taken by the next. The same part,
begun again, has what its last attempt held.
"""

from collections.abc import Sequence

from sqlalchemy import Select, delete, exists, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from store.bulk_rows import values_table
from store.clock import now_s
from store.models import LLMFlight


def take(tx: Session, owner: str, keys: Sequence[str], *, lease_s: float) -> set[str]:
    """Those of the keys that `owner` may ask for now; the others are in flight elsewhere.

    Look for answers again afterwards: a flight that ended since the last look has left one.
    """
    dialect = sqlite if tx.get_bind().dialect.name == "sqlite" else postgresql
    wanted = values_table(tx, {"key": (str, sorted(set(keys)))})
    # A row that is only looked at here would be locked by the upsert.
    elsewhere = (LLMFlight.key == wanted.c.key) & (LLMFlight.owner != owner) & (LLMFlight.expires_at >= now_s())
    rows = select(wanted.c.key, literal(owner), now_s() + lease_s).where(~exists().where(elsewhere))
    statement = dialect.insert(LLMFlight).from_select(["key", "owner", "expires_at"], rows.order_by(wanted.c.key))
    taken = statement.on_conflict_do_update(
        index_elements=["key"],
        set_={"owner": statement.excluded.owner, "expires_at": statement.excluded.expires_at},
        where=(LLMFlight.expires_at < now_s()) | (LLMFlight.owner == statement.excluded.owner),
    ).returning(LLMFlight.key)
    return set(tx.scalars(taken))


def held(tx: Session, keys: Sequence[str]) -> set[str]:
    """Those of the keys that somebody holds."""
    wanted = values_table(tx, {"key": (str, keys)})
    query = select(LLMFlight.key).join(wanted, wanted.c.key == LLMFlight.key).where(LLMFlight.expires_at >= now_s())
    return set(tx.scalars(query))


def renew(tx: Session, owner: str, *, lease_s: float) -> None:
    """Keep all that the owner holds."""
    statement = update(LLMFlight).where(LLMFlight.key.in_(_of(owner))).values(expires_at=now_s() + lease_s)
    tx.execute(statement, execution_options={"synchronize_session": False})


def release(tx: Session, owner: str, keys: Sequence[str] | None = None) -> None:
    """Let these keys go, or all that the owner holds; what is another's by now stays."""
    held = _of(owner) if keys is None else _of(owner).where(LLMFlight.key.in_(keys))
    tx.execute(delete(LLMFlight).where(LLMFlight.key.in_(held)), execution_options={"synchronize_session": False})


def _of(owner: str) -> Select[str]:
    """What the owner holds, locked in the order of keys, as `take` does: two that meet wait for each other, and do not
    lock each other out."""
    return select(LLMFlight.key).where(LLMFlight.owner == owner).order_by(LLMFlight.key).with_for_update()


def forget_old(tx: Session, *, older_than_s: float = 86_400.0) -> None:
    """Drop what nobody holds any more and nobody else asked for."""
    statement = delete(LLMFlight).where(LLMFlight.expires_at < now_s() - older_than_s)
    tx.execute(statement, execution_options={"synchronize_session": False})
