"""Webhooks: URLs that the service calls when a job of their owner ends."""

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy.orm import Session
from starlette.responses import Response

from api.http.dependencies import Created, IdempotencyDep, OwnerFilter, ServicesDep
from api.http.json_bodies import LargeJSONRoute
from api.http.problems import StorableRequestModel
from api.http.schemas import ONE_FAULT, After, Limit, Page, ResponseModel, Timestamp, page
from store import resources, webhooks
from store.models import Webhook

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], route_class=LargeJSONRoute)

JobEvent = Literal["job.succeeded", "job.failed", "job.cancelled"]
_NUM_DELIVERIES = 20


class WebhookIn(StorableRequestModel):
    """A webhook for jobs of the owner of the key that sends this."""

    url: str = Field(
        max_length=2_000,
        description="An https or http URL to a host that the operator allows.",
        examples=["https://ci.example.org/limbeck"],
    )
    events: Annotated[list[JobEvent], ONE_FAULT] = Field(
        ["job.succeeded", "job.failed", "job.cancelled"],
        min_length=1,
        max_length=3,
        description="The ends of jobs that are reported.",
    )


class WebhookOut(ResponseModel):
    """A webhook."""

    object: Literal["webhook"] = "webhook"
    id: str
    url: str
    events: list[str]
    owner: str | None
    created_at: Timestamp


class CreatedWebhookOut(WebhookOut):
    """A new webhook, with the secret that its messages are signed with."""

    secret: str | None = Field(
        description="Signs the messages, as Standard Webhooks describes. Shown only now; null if this request repeats "
        "an earlier one."
    )


class DeliveryOut(ResponseModel):
    """A message to a webhook."""

    object: Literal["webhook_delivery"] = "webhook_delivery"
    id: str
    event: str
    created_at: Timestamp
    attempts: int
    delivered_at: Timestamp | None
    next_at: Timestamp | None = Field(description="Time of the next attempt; null if there is none.")
    http_status: int | None = Field(description="Of the last attempt.")
    error: str | None = Field(description="Why the last attempt failed.")


class WebhookWithDeliveriesOut(WebhookOut):
    """A webhook with its newest messages."""

    deliveries: list[DeliveryOut]


@router.post("", status_code=201, response_model=CreatedWebhookOut)
def create(services: ServicesDep, idempotency: IdempotencyDep, body: WebhookIn) -> Response:
    """Create a webhook. The response has its secret, which is not shown again."""
    hosts = webhooks.allowed_hosts(services.settings.webhook_hosts)

    def write(tx: Session) -> Created:
        owner = idempotency.principal.owner
        row, secret = webhooks.create(tx, url=body.url, events=body.events, owner=owner, hosts=hosts)
        fields = WebhookOut.model_validate(row).model_dump()
        return CreatedWebhookOut(**fields, secret=secret), f"/v1/webhooks/{row.id}"

    return idempotency.respond(write, secrets=("secret",))


@router.get("", response_model=Page[WebhookOut])
def list_all(services: ServicesDep, limit: Limit = 20, after: After = None, owner: OwnerFilter = None) -> object:
    """Webhooks, newest first."""
    with services.db.read() as tx:
        rows, has_more = resources.page(tx, Webhook, limit=limit, after=after, owner=owner)
        return page([WebhookOut.model_validate(row) for row in rows], has_more, lambda item: item.id)


@router.get("/{id}", response_model=WebhookWithDeliveriesOut)
def get(services: ServicesDep, id: str) -> object:
    """A webhook and its newest messages."""
    with services.db.read() as tx:
        row = webhooks.get(tx, id)
        sent = [DeliveryOut.model_validate(one) for one in webhooks.deliveries(tx, id, limit=_NUM_DELIVERIES)]
        return WebhookWithDeliveriesOut(**WebhookOut.model_validate(row).model_dump(), deliveries=sent)


@router.post("/{id}/ping", status_code=202, response_model=DeliveryOut)
def ping(idempotency: IdempotencyDep, id: str) -> Response:
    """Send a message that only tests the webhook; its result appears among the deliveries."""

    def write(tx: Session) -> Created:
        row = webhooks.get(tx, id)
        idempotency.principal.check_may_change("webhook", row)
        return DeliveryOut.model_validate(webhooks.add_ping(tx, row)), f"/v1/webhooks/{id}"

    return idempotency.respond(write, status=202)


@router.delete("/{id}", status_code=204)
def delete(idempotency: IdempotencyDep, id: str) -> Response:
    """Delete a webhook. Messages that were not delivered are dropped."""

    def write(tx: Session) -> None:
        row = webhooks.get(tx, id)
        idempotency.principal.check_may_change("webhook", row)
        webhooks.remove(tx, row)

    return idempotency.respond_deleted(write)
