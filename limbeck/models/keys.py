"""API keys and the record of writes."""

from datetime import datetime
from decimal import Decimal

from limbeck.models.base import ServiceResponse


class Key(ServiceResponse):
    """An API key; `name` owns what is created with it. A limit of None is none; `budget_usd` is per 30 days."""

    id: str
    name: str
    scopes: tuple[str, ...]
    requests_per_min: int | None
    max_jobs: int | None
    budget_usd: Decimal | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class CreatedKey(Key):
    """A new key. The service shows `secret` once: it is None if the first response was lost; create another key."""

    secret: str | None


class KeyUsage(Key):
    """A key, and what counts against its limits: jobs of its owner that have not ended, and dollars of 30 days."""

    unfinished_jobs: int
    committed_usd: Decimal


class AuditRecord(ServiceResponse):
    """A request that changed something or was refused with 403; or, with the method `CLI`, an operator's command."""

    id: str
    at: datetime
    owner: str
    key_id: str | None
    method: str
    route: str
    resource_id: str | None
    status: int | None
    request_id: str | None
    client: str | None
