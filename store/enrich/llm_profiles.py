"""What was learned about the models of LLM servers, and their last outage; shared by all workers."""

import time
from collections.abc import Mapping, Sequence

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from store.models import LLMModelProfile, LLMOutage


def get(tx: Session, *, base_url: str, model: str) -> LLMModelProfile | None:
    """The profile of a model at a server; None if there is none, or if it has expired."""
    found = tx.get(LLMModelProfile, (base_url, model))
    return found if found is not None and found.expires_at > time.time() else None


def list_all(tx: Session) -> Sequence[LLMModelProfile]:
    """All profiles that have not expired, by server and model."""
    query = select(LLMModelProfile).where(LLMModelProfile.expires_at > time.time())
    return tx.scalars(query.order_by(LLMModelProfile.base_url, LLMModelProfile.model)).all()


def save(tx: Session, *, base_url: str, model: str, profile: Mapping[str, object], expires_at: float) -> None:
    """Store a profile for all workers; the last write wins."""
    row = {"base_url": base_url, "model": model, "profile": dict(profile), "learned_at": time.time()}
    row["expires_at"] = expires_at
    _upsert(tx, LLMModelProfile, row)


def reset(tx: Session, *, base_url: str, model: str) -> bool:
    """Delete a profile, so that the next call learns it again; False if there was none.

    A job that is running keeps the profile that it has until its next part.
    """
    key = LLMModelProfile.base_url == base_url, LLMModelProfile.model == model
    return tx.scalar(delete(LLMModelProfile).where(*key).returning(LLMModelProfile.model)) is not None


def reset_matching(tx: Session, *, base_url: str | None = None, model: str | None = None) -> int:
    """Delete the profiles of a server and a model; None is any. Returns how many had not expired."""
    given = {LLMModelProfile.base_url: base_url, LLMModelProfile.model: model}
    statement = delete(LLMModelProfile).where(
        *(column == value for column, value in given.items() if value is not None)
    )
    expiries = tx.scalars(statement.returning(LLMModelProfile.expires_at)).all()
    return sum(expires_at > time.time() for expires_at in expiries)


def record_outage(
    tx: Session,
    *,
    base_url: str,
    model: str,
    since: float,
    gap_s: float,
    retry_in_s: float = 0.0,
    last_success_at: float | None = None,
) -> float:
    """Record that a server has not responded since `since`. Returns the time at which the outage began.

    It continues the stored outage if that was last seen at most `gap_s` seconds before `since`, and the caller had no
    response after it. The server asked not to be called for `retry_in_s` seconds, which count as part of the outage.
    """
    found = tx.get(LLMOutage, (base_url, model))
    if found is not None and since - found.failed_at <= gap_s and (last_success_at or 0.0) < found.failed_at:
        since = min(since, found.since)
    row = {"base_url": base_url, "model": model, "since": since, "failed_at": time.time() + retry_in_s}
    _upsert(tx, LLMOutage, row)
    return since


def _upsert(tx: Session, table: type[LLMModelProfile] | type[LLMOutage], row: Mapping[str, object]) -> None:
    dialect = sqlite if tx.get_bind().dialect.name == "sqlite" else postgresql
    statement = dialect.insert(table).values(**row)
    changes = {name: statement.excluded[name] for name in row if name not in ("base_url", "model")}
    tx.execute(statement.on_conflict_do_update(index_elements=["base_url", "model"], set_=changes))
