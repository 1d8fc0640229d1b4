"""Webhooks: `client.webhooks`."""

from collections.abc import AsyncIterator, Sequence

from limbeck.client.asynchronous.http import AsyncHttp
from limbeck.client.asynchronous.requests import get, items, post
from limbeck.client.paths import resource_path
from limbeck.models import CreatedWebhook, Webhook, WebhookDelivery, WebhookWithDeliveries


class AsyncWebhooks:
    """URLs that the service calls when a job of this key's owner ends: `client.webhooks`."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def create(self, url: str, events: Sequence[str] | None = None) -> CreatedWebhook:
        """Create a webhook for jobs of this key's owner; `events`: such as `job.failed`, all if None.

        The service signs its messages with the returned `secret`.
        """
        body: dict[str, object] = {"url": url}
        if events is not None:
            body["events"] = [*events]
        return await post(self._http, CreatedWebhook, "/v1/webhooks", body)

    async def get(self, id: str) -> WebhookWithDeliveries:
        """A webhook and its newest messages."""
        return await get(self._http, WebhookWithDeliveries, "webhooks", id)

    async def ping(self, id: str) -> WebhookDelivery:
        """Send a message that only tests the webhook."""
        return await post(self._http, WebhookDelivery, resource_path("webhooks", id) + "/ping")

    async def delete(self, id: str) -> None:
        """Delete a webhook. Messages that were not delivered are dropped."""
        await self._http.request("DELETE", resource_path("webhooks", id))

    def list(self, *, owner: str | None = None) -> AsyncIterator[Webhook]:
        """All webhooks, newest first. `owner`: the name of a key, or `me`."""
        return items(self._http, Webhook, "/v1/webhooks", {"owner": owner})
