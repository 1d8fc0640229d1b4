"""Who sends a request, and which resources it may change.

The owner of a resource is the name of the key that created it, or `local` without a key. Everybody with the scope
`read` reads everything; only its owner, or a key with the scope `admin`, changes a resource. Resources of releases
without owners have none: everybody with the scope `write` changes them, as before.
"""

from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from store.errors import NotOwner
from store.models import Job

LOCAL = "local"
"""Id and owner of requests without a key, which the API accepts only on loopback."""
ME = "me"
"""In a filter by owner: the owner of the request's key."""
RESERVED_NAMES = (LOCAL, ME)
SCOPES = ("read", "write", "admin")


class OwnedRow(Protocol):
    """A row with an owner."""

    @property
    def id(self) -> str: ...

    @property
    def owner(self) -> str | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLimits:
    """The limits of a key; None: no limit. `budget_pusd`: of LLM calls, per 30 days (`store.access.limits`)."""

    requests_per_min: int | None = None
    max_jobs: int | None = None
    budget_pusd: int | None = None


NO_LIMITS = KeyLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """`id`: of the key, or `local`. Keys of one name are one owner, so that a key can be replaced."""

    id: str
    owner: str
    scopes: frozenset[str]
    limits: KeyLimits = NO_LIMITS

    @property
    def is_admin(self) -> bool:
        """Whether it may change resources of others, and keys."""
        return "admin" in self.scopes

    def check_may_change(self, kind: str, row: OwnedRow) -> None:
        """Raise `NotOwner` if the row, a resource of this kind, belongs to another owner."""
        if row.owner not in (None, self.owner) and not self.is_admin:
            raise NotOwner(kind, row.id, str(row.owner))


LOCAL_PRINCIPAL = Principal(id=LOCAL, owner=LOCAL, scopes=frozenset(SCOPES))


def owner_of_job(tx: Session, job_id: str) -> str | None:
    """The owner of a job, and so of everything that the job makes."""
    return tx.scalar(select(Job.owner).where(Job.id == job_id))
