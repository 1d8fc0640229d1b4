"""Keys, browser sessions, the audit log, webhooks and idempotency records."""

from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from store.models.base import Base


class ApiKey(Base):
    """An API key. Only the sha256 of its secret is stored. `store.access.limits` has its limits; null: none.

    `last_used_at` is written at most once a minute.
    """

    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    sha256: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[list[str]]
    created_at: Mapped[float]
    expires_at: Mapped[float | None]
    revoked_at: Mapped[float | None]
    requests_per_min: Mapped[int | None]
    max_jobs: Mapped[int | None]
    budget_pusd: Mapped[int | None] = mapped_column(BigInteger)
    last_used_at: Mapped[float | None]


class AuditRecord(Base):
    """A request or a command that changed something, or was refused (`store.access.audit`)."""

    __tablename__ = "audit_records"
    id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[float]
    owner: Mapped[str]
    key_id: Mapped[str | None]
    method: Mapped[str]
    route: Mapped[str]
    resource_id: Mapped[str | None]
    status: Mapped[int | None]
    request_id: Mapped[str | None]
    client: Mapped[str | None]
    __table_args__ = (
        Index("ix_audit_records_owner_id", "owner", "id"),
        Index("ix_audit_records_resource_id_id", "resource_id", "id"),
    )


class BrowserSession(Base):
    """A browser that signed in with a key. Only the sha256 of the cookie's token is stored."""

    __tablename__ = "browser_sessions"
    sha256: Mapped[str] = mapped_column(primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id"), index=True)
    created_at: Mapped[float]
    expires_at: Mapped[float] = mapped_column(index=True)


class Webhook(Base):
    """A URL that is called when a job of `owner` ends. `secret` signs the messages, so it is stored as it is."""

    __tablename__ = "webhooks"
    id: Mapped[str] = mapped_column(primary_key=True)
    url: Mapped[str]
    events: Mapped[list[str]]
    owner: Mapped[str | None] = mapped_column(index=True)
    secret: Mapped[str]
    created_at: Mapped[float]


class WebhookDelivery(Base):
    """A message to a webhook. `next_at`: the time of the next attempt, null after the last one."""

    __tablename__ = "webhook_deliveries"
    id: Mapped[str] = mapped_column(primary_key=True)
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id"), index=True)
    event: Mapped[str]
    data: Mapped[dict[str, object]]
    created_at: Mapped[float]
    next_at: Mapped[float | None] = mapped_column(index=True)
    attempts: Mapped[int]
    delivered_at: Mapped[float | None]
    http_status: Mapped[int | None]
    error: Mapped[str | None]


class IdempotencyRecord(Base):
    """The response to a POST with this `Idempotency-Key`, written in the transaction that executed the POST."""

    __tablename__ = "idempotency_records"
    principal: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_sha256: Mapped[str]
    status: Mapped[int | None]
    headers: Mapped[dict[str, str] | None]
    body: Mapped[str | None]
    created_at: Mapped[float] = mapped_column(index=True)
