"""API keys: 256 random bits, stored as their sha256, with scopes and an expiry time."""

import hashlib
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from store.access.principals import NO_LIMITS, RESERVED_NAMES, SCOPES, KeyLimits, Principal
from store.errors import InvalidField, InvalidRequest, NotFound
from store.ids import new_id
from store.models import ApiKey

_PREFIX = "lbk_"


def create(
    tx: Session,
    *,
    name: str,
    scopes: Sequence[str],
    expires_at: float | None,
    limits: KeyLimits = NO_LIMITS,
) -> tuple[ApiKey, str]:
    """Create a key and return it with its secret. The secret is not stored and cannot be shown again.

    `name` is the owner of what is created with the key. The scope admin includes the others. Raises `InvalidRequest`.
    """
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        detail = f"{', '.join(unknown) or 'no scope'}: valid scopes are {', '.join(SCOPES)}"
        raise InvalidRequest("scope_unknown", detail, [InvalidField("/scopes", detail)])
    if name in RESERVED_NAMES:
        detail = f"the name {name!r} is reserved: give the key another name"
        raise InvalidRequest("name_reserved", detail, [InvalidField("/name", detail)])
    secret = _PREFIX + secrets.token_urlsafe(32)
    key = ApiKey(
        id=new_id("key"),
        name=name,
        sha256=_digest(secret),
        scopes=sorted(SCOPES if "admin" in scopes else set(scopes)),
        created_at=time.time(),
        expires_at=expires_at,
        revoked_at=None,
        last_used_at=None,
        **asdict(limits),
    )
    tx.add(key)
    tx.flush()
    return key, secret


def find(tx: Session, secret: str) -> ApiKey | None:
    """The active key with this secret, or None. Only digests are compared, so timing reveals nothing of the secret."""
    key = tx.scalar(select(ApiKey).where(ApiKey.sha256 == _digest(secret)))
    return key if key is not None and is_active(key) else None


def is_active(key: ApiKey) -> bool:
    """Whether the key is neither revoked nor expired."""
    return key.revoked_at is None and (key.expires_at is None or key.expires_at > time.time())


def principal_of(key: ApiKey) -> Principal:
    """Who sends a request with this key."""
    limits = KeyLimits(requests_per_min=key.requests_per_min, max_jobs=key.max_jobs, budget_pusd=key.budget_pusd)
    return Principal(id=key.id, owner=key.name, scopes=frozenset(key.scopes), limits=limits)


def note_use(tx: Session, key_id: str, *, at: float, every_s: float) -> None:
    """Store the time of the last use of the key, unless one within `every_s` is stored."""
    is_old = ApiKey.last_used_at.is_(None) | (ApiKey.last_used_at <= at - every_s)
    tx.execute(
        update(ApiKey).where(ApiKey.id == key_id, is_old).values(last_used_at=at),
        execution_options={"synchronize_session": False},
    )


def set_limits(tx: Session, key_id: str, changes: Mapping[str, int | None]) -> ApiKey:
    """Change the limits of a key, by the names of `KeyLimits`; None removes one. Raises `NotFound`."""
    key = get(tx, key_id)
    for name, value in changes.items():
        setattr(key, name, value)
    tx.flush()
    return key


def get(tx: Session, key_id: str) -> ApiKey:
    """The key, or `NotFound`."""
    key = tx.get(ApiKey, key_id)
    if key is None:
        raise NotFound("key", key_id)
    return key


def revoke(tx: Session, key_id: str) -> ApiKey:
    """Revoke a key now. Revoking it again changes nothing. Raises `NotFound`."""
    key = get(tx, key_id)
    key.revoked_at = key.revoked_at or time.time()
    return key


def list_keys(tx: Session) -> list[ApiKey]:
    """All keys, revoked and expired ones included, oldest first."""
    return list(tx.scalars(select(ApiKey).order_by(ApiKey.id)))


def has_active_key(tx: Session) -> bool:
    """Whether at least one key is neither revoked nor expired."""
    active = (ApiKey.expires_at.is_(None) | (ApiKey.expires_at > time.time())) & ApiKey.revoked_at.is_(None)
    return bool(tx.scalar(select(func.count()).select_from(ApiKey).where(active)))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
