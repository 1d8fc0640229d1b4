# Written by `python -m tests.limbeck.sync_client` from limbeck/client/asynchronous/webhooks.py: edit that file.
"""Webhooks: `client.webhooks`."""

from collections.abc import Iterator, Sequence

from limbeck.client.paths import resource_path
from limbeck.client.synchronous.http import Http
from limbeck.client.synchronous.requests import get, items, post
from limbeck.models import CreatedWebhook, Webhook, WebhookDelivery, WebhookWithDeliveries


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
