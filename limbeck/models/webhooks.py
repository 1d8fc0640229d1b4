"""Webhooks: URLs that the service calls when a job ends."""

from datetime import datetime

from limbeck.models.base import ServiceResponse


class WebhookDelivery(ServiceResponse):
    """A message to a webhook. `next_at` is None if it is not sent again."""

    id: str
    event: str
    created_at: datetime
    attempts: int
    delivered_at: datetime | None
    next_at: datetime | None
    http_status: int | None
    error: str | None


class Webhook(ServiceResponse):
    """A URL that is called when a job of `owner` ends."""

    id: str
    url: str
    events: tuple[str, ...]
    owner: str | None
    created_at: datetime


class CreatedWebhook(Webhook):
    """A new webhook. Its messages are signed with `secret`, which is not shown again; None for a repeated request."""

    secret: str | None


class WebhookWithDeliveries(Webhook):
    """A webhook with its newest messages."""

    deliveries: tuple[WebhookDelivery, ...]
