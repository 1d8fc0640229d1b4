"""Single-flight locks of LLM calls: jobs that run at the same time make one call per cache key.

A part acquires the locks of its questions, renews them while it sends the questions, and releases each lock in the
transaction that stores the response. A part that needs a key locked by another part waits for the response. A lock that
was released without a response (the call failed) or has expired can be acquired by the next part. A part that is
retried still owns the locks of its last attempt.
"""

from collections.abc import Sequence

from sqlalchemy import Select, delete, exists, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from store.clock import now_s
from store.enrich.bulk_rows import values_table
from store.models import LLMFlight


def acquire(tx: Session, owner: str, keys: Sequence[str], *, lease_s: float) -> set[str]:
    """Lock the keys that no other owner has locked; returns those that `owner` may send now.

    Look up cached responses again after this call: an owner that has just released a lock may have stored a response.
    """
    dialect = sqlite if tx.get_bind().dialect.name == "sqlite" else postgresql
    wanted = values_table(tx, {"key": (str, sorted(set(keys)))})
    # The upsert alone would also lock the rows of other owners.
    elsewhere = (LLMFlight.key == wanted.c.key) & (LLMFlight.owner != owner) & (LLMFlight.expires_at >= now_s())
    rows = select(wanted.c.key, literal(owner), now_s() + lease_s).where(~exists().where(elsewhere))
    statement = dialect.insert(LLMFlight).from_select(["key", "owner", "expires_at"], rows.order_by(wanted.c.key))
    acquired = statement.on_conflict_do_update(
        index_elements=["key"],
        set_={"owner": statement.excluded.owner, "expires_at": statement.excluded.expires_at},
        where=(LLMFlight.expires_at < now_s()) | (LLMFlight.owner == statement.excluded.owner),
    ).returning(LLMFlight.key)
    return set(tx.scalars(acquired))


def locked_keys(tx: Session, keys: Sequence[str]) -> set[str]:
    """The keys that any owner has locked."""
    wanted = values_table(tx, {"key": (str, keys)})
    query = select(LLMFlight.key).join(wanted, wanted.c.key == LLMFlight.key).where(LLMFlight.expires_at >= now_s())
    return set(tx.scalars(query))


def renew(tx: Session, owner: str, *, lease_s: float) -> None:
    """Extend all locks of the owner."""
    statement = update(LLMFlight).where(LLMFlight.key.in_(_locks_of(owner))).values(expires_at=now_s() + lease_s)
    tx.execute(statement, execution_options={"synchronize_session": False})


def release(tx: Session, owner: str, keys: Sequence[str] | None = None) -> None:
    """Release the owner's locks of these keys, or all its locks. Locks that another owner has acquired since stay."""
    owned = _locks_of(owner) if keys is None else _locks_of(owner).where(LLMFlight.key.in_(keys))
    tx.execute(delete(LLMFlight).where(LLMFlight.key.in_(owned)), execution_options={"synchronize_session": False})


def _locks_of(owner: str) -> Select[str]:
    """The keys that the owner has locked. Their rows are locked in key order, as in `acquire`, to avoid deadlocks."""
    return select(LLMFlight.key).where(LLMFlight.owner == owner).order_by(LLMFlight.key).with_for_update()


def delete_expired(tx: Session, *, older_than_s: float = 86_400.0) -> None:
    """Delete the locks that expired more than `older_than_s` seconds ago."""
    statement = delete(LLMFlight).where(LLMFlight.expires_at < now_s() - older_than_s)
    tx.execute(statement, execution_options={"synchronize_session": False})
