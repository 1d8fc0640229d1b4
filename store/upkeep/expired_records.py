"""Rows that have expired: stored responses, browser sessions, messages, heartbeats, and locks of calls to an LLM."""

from sqlalchemy.orm import Session

from store import idempotency, webhooks
from store.access import browser_sessions
from store.enrich import single_flight
from store.jobs import heartbeats


def count_expired(tx: Session, *, keep_s: float) -> tuple[int, int]:
    """The number of expired stored responses, and their size in bytes. Heartbeats and locks are few and not counted."""
    return idempotency.count_expired(tx, keep_s=keep_s)


def delete_expired(tx: Session, *, keep_s: float) -> None:
    """Delete all expired rows; stored responses after `keep_s`."""
    idempotency.delete_expired(tx, keep_s=keep_s)
    browser_sessions.delete_expired(tx)
    webhooks.delete_old(tx)
    heartbeats.delete_old(tx)
    single_flight.delete_expired(tx)
