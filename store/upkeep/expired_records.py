"""Rows that have expired: stored responses, browser sessions, messages, heartbeats, and locks of calls to an LLM."""

from sqlalchemy.orm import Session

from store import idempotency, webhooks
from store.access import browser_sessions
from store.enrich import single_flight
from store.jobs import heartbeats


def count_expired(tx: Session) -> tuple[int, int]:
    """The number of expired stored responses, and their size in bytes. Heartbeats and locks are few and not counted."""
    return idempotency.count_expired(tx)


def delete_expired(tx: Session) -> None:
    """Delete all expired rows."""
    idempotency.delete_expired(tx)
    browser_sessions.delete_expired(tx)
    webhooks.delete_old(tx)
    heartbeats.delete_old(tx)
    single_flight.delete_expired(tx)
