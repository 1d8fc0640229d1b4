"""API keys: 256 random bits, kept as their sha256, with scopes and an expiry."""

import hashlib
import secrets
import time
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store.errors import Culprit, NotFound, Refused
from store.ids import new_id
from store.models import ApiKey

SCOPES = ("read", "write")
_PREFIX = "lbk_"


def create(tx: Session, *, name: str, scopes: Sequence[str], expires_at: float | None) -> tuple[ApiKey, str]:
    """A new key and its secret, which is not kept and cannot be shown again."""
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        detail = f"{', '.join(unknown) or 'no scope'}: a key's scopes are {' and '.join(SCOPES)}"
        raise Refused("scope_unknown", detail, [Culprit("/scopes", detail)])
    secret = _PREFIX + secrets.token_urlsafe(32)
    key = ApiKey(
        id=new_id("key"),
        name=name,
        sha256=_digest(secret),
        scopes=sorted(set(scopes)),
        created_at=time.time(),
        expires_at=expires_at,
        revoked_at=None,
    )
    tx.add(key)
    tx.flush()
    return key, secret


def find(tx: Session, secret: str) -> ApiKey | None:
    """The live key with this secret. Only digests are compared, so that timing tells nothing of the secret."""
    key = tx.scalar(select(ApiKey).where(ApiKey.sha256 == _digest(secret)))
    if key is None or key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= time.time()):
        return None
    return key


def revoke(tx: Session, key_id: str) -> ApiKey:
    """End a key now; ending it twice is harmless."""
    key = tx.get(ApiKey, key_id)
    if key is None:
        raise NotFound("key", key_id)
    key.revoked_at = key.revoked_at or time.time()
    return key


def every(tx: Session) -> list[ApiKey]:
    """All keys ever made, oldest first."""
    return list(tx.scalars(select(ApiKey).order_by(ApiKey.id)))


def any_live(tx: Session) -> bool:
    """Whether there is a key that would be let in."""
    live = (ApiKey.expires_at.is_(None) | (ApiKey.expires_at > time.time())) & ApiKey.revoked_at.is_(None)
    return bool(tx.scalar(select(func.count()).select_from(ApiKey).where(live)))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
