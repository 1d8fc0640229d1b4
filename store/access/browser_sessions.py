"""Sessions of browsers: a person signs in with a key once, and the browser then sends a cookie.

Only the sha256 of a session's token is stored. A session ends when it is signed out or expires, and at once when its
key is revoked or expires.
"""

import hashlib
import secrets
import time

from sqlalchemy import delete
from sqlalchemy.orm import Session

from store.access import api_keys
from store.access.principals import Principal
from store.models import ApiKey, BrowserSession


def create(tx: Session, secret: str, *, lifetime_s: float) -> str | None:
    """Begin a session of the active key with this secret; returns the token of the cookie, None for no such key."""
    key = api_keys.find(tx, secret)
    if key is None:
        return None
    token = secrets.token_urlsafe(32)
    now = time.time()
    tx.add(BrowserSession(sha256=_digest(token), key_id=key.id, created_at=now, expires_at=now + lifetime_s))
    tx.flush()
    return token


def find(tx: Session, token: str) -> Principal | None:
    """The principal of the session with this token; None if the session or its key has ended."""
    session = tx.get(BrowserSession, _digest(token))
    if session is None or session.expires_at <= time.time():
        return None
    key = tx.get(ApiKey, session.key_id)
    return api_keys.principal_of(key) if key is not None and api_keys.is_active(key) else None


def end(tx: Session, token: str) -> None:
    """End a session. Ending it again changes nothing."""
    tx.execute(delete(BrowserSession).where(BrowserSession.sha256 == _digest(token)))


def delete_expired(tx: Session) -> None:
    """Delete the rows of expired sessions."""
    tx.execute(delete(BrowserSession).where(BrowserSession.expires_at <= time.time()))


def csrf_token(token: str) -> str:
    """The token that writes of this session repeat in a header; other sites cannot read it from a page."""
    return _digest(f"csrf:{token}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
