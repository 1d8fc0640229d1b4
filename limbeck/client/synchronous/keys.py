# Written by `python -m tests.limbeck.sync_client` from limbeck/client/asynchronous/keys.py: edit that file.
"""API keys and the record of writes, for keys with the scope admin; and webhooks."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from limbeck.client.paths import resource_path
from limbeck.client.responses import parsed
from limbeck.client.synchronous.http import Http
from limbeck.client.synchronous.requests import get, items, post
from limbeck.models import (
    AuditRecord,
    CreatedKey,
    CreatedWebhook,
    Key,
    KeyUsage,
    Webhook,
    WebhookDelivery,
    WebhookWithDeliveries,
)


class Keys:
    """API keys: `client.keys`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def create(
        self,
        name: str,
        *,
        scopes: Sequence[str] = ("read", "write"),
        lifetime_s: float | None = 90 * 86_400,
        requests_per_min: int | None = None,
        max_jobs: int | None = None,
        budget_usd: Decimal | str | None = None,
    ) -> CreatedKey:
        """Create a key. Its `secret` is shown once.

        Args:
            name: the owner of what is created with the key.
            scopes: `read`, `write`, `admin`; `admin` includes the others.
            lifetime_s: seconds until the key expires; None for never.
            requests_per_min: requests per minute with this key; None for no limit, so for the others.
            max_jobs: jobs of the owner that have not ended.
            budget_usd: dollars for LLM calls of the owner's jobs per 30 days.
        """
        limits = _limits({"requests_per_min": requests_per_min, "max_jobs": max_jobs, "budget_usd": budget_usd})
        body = {"name": name, "scopes": list(scopes), "lifetime_s": lifetime_s, **limits}
        return post(self._http, CreatedKey, "/v1/keys", body)

    def get(self, id: str) -> KeyUsage:
        """One key, and what counts against its limits."""
        return get(self._http, KeyUsage, "keys", id)

    def list(self, *, owner: str | None = None) -> Iterator[Key]:
        """All keys, or those of a name, newest first; expired and revoked ones too."""
        return items(self._http, Key, "/v1/keys", {"owner": owner})

    def set_limits(self, id: str, **limits: int | str | Decimal | None) -> Key:
        """Change limits of a key, by the names of `create`; None removes one. Limits that are not named stay."""
        return parsed(Key, self._http.request("PATCH", resource_path("keys", id), json=_limits(limits)))

    def revoke(self, id: str) -> Key:
        """Revoke a key: requests with it are refused from now on."""
        return parsed(Key, self._http.request("DELETE", resource_path("keys", id)))


class Audit:
    """The record of writes: `client.audit`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def list(
        self, *, owner: str | None = None, resource_id: str | None = None, since: datetime | None = None
    ) -> Iterator[AuditRecord]:
        """Records of writes, newest first: all, or those of an owner, about a resource, or since a time."""
        at = since.astimezone().isoformat() if since else None
        return items(self._http, AuditRecord, "/v1/audit", {"owner": owner, "resource_id": resource_id, "since": at})


def _limits(limits: Mapping[str, int | str | Decimal | None]) -> dict[str, int | str | None]:
    return {name: f"{value:f}" if isinstance(value, Decimal) else value for name, value in limits.items()}


class Webhooks:
    """URLs that the service calls when a job of this key's owner ends: `client.webhooks`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def create(self, url: str, events: Sequence[str] | None = None) -> CreatedWebhook:
        """Create a webhook for jobs of this key's owner; `events`: such as `job.failed`, all if None.

        The service signs its messages with the returned `secret`.
        """
        body: dict[str, object] = {"url": url}
        if events is not None:
            body["events"] = [*events]
        return post(self._http, CreatedWebhook, "/v1/webhooks", body)

    def get(self, id: str) -> WebhookWithDeliveries:
        """A webhook and its newest messages."""
        return get(self._http, WebhookWithDeliveries, "webhooks", id)

    def ping(self, id: str) -> WebhookDelivery:
        """Send a message that only tests the webhook."""
        return post(self._http, WebhookDelivery, resource_path("webhooks", id) + "/ping")

    def delete(self, id: str) -> None:
        """Delete a webhook. Messages that were not delivered are dropped."""
        self._http.request("DELETE", resource_path("webhooks", id))

    def list(self, *, owner: str | None = None) -> Iterator[Webhook]:
        """All webhooks, newest first. `owner`: the name of a key, or `me`."""
        return items(self._http, Webhook, "/v1/webhooks", {"owner": owner})
