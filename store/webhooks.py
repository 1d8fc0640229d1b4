"""Webhooks: a POST to a server of the user when a job ends.

The transaction that ends a job adds a delivery for each webhook of the job's owner, so that none is lost and none is
sent for a job that did not end. `workers.webhooks` sends the deliveries that are due. A delivery is tried again with
exponential backoff until the server answers 2xx, for `GIVE_UP_AFTER_S` at most; it may arrive more than once, always
with the same id. Messages are signed as Standard Webhooks describes
(https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from limbeck.shared.retry import backoff_s
from store.errors import InvalidField, InvalidRequest, NotFound
from store.ids import new_id
from store.models import Job, Webhook, WebhookDelivery

EVENTS = ("job.succeeded", "job.failed", "job.cancelled", "ping")
JOB_EVENTS = EVENTS[:3]
GIVE_UP_AFTER_S = 3 * 86400.0
KEEP_S = 30 * 86400.0
_FIRST_RETRY_S = 5.0
_MAX_RETRY_S = 6 * 3600.0
_SECRET_PREFIX = "whsec_"
_MAX_ERROR_CHARS = 300


def allowed_hosts(setting: str) -> frozenset[str]:
    """`example.org, hooks.internal:8443` → the hosts that webhooks may name, with their ports."""
    return frozenset(one.strip().lower() for one in setting.split(",") if one.strip())


def check_url(url: str, hosts: frozenset[str]) -> None:
    """Raise InvalidRequest unless the URL is http or https, without credentials, to one of the allowed hosts."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _invalid("url_invalid", "is no URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _invalid("url_invalid", "must begin with https:// or http:// and name a host")
    if parts.username or parts.password or parts.fragment:
        raise _invalid("url_invalid", "must have no user, password or fragment")
    # A host without a port in the setting stands for the default port of the scheme.
    name = parts.hostname.lower() if port is None else f"{parts.hostname.lower()}:{port}"
    if name not in hosts:
        allowed = "the operator allows none (LIMBECK_WEBHOOK_HOSTS)" if not hosts else "see LIMBECK_WEBHOOK_HOSTS"
        raise _invalid("webhook_host_not_allowed", f"names a host that the operator does not allow; {allowed}")


def create(
    tx: Session, *, url: str, events: Sequence[str], owner: str | None, hosts: frozenset[str]
) -> tuple[Webhook, str]:
    """Create a webhook for jobs of this owner; returns it with its secret. Raises InvalidRequest."""
    check_url(url, hosts)
    # The secret signs, so it is stored as it is and not as a digest. It opens nothing in this service.
    secret = _SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
    unique = list(dict.fromkeys(events))
    row = Webhook(id=new_id("whk"), url=url, events=unique, owner=owner, secret=secret, created_at=time.time())
    tx.add(row)
    tx.flush()
    return row, secret


def get(tx: Session, id: str) -> Webhook:
    """The webhook. Raises NotFound."""
    row = tx.get(Webhook, id)
    if row is None:
        raise NotFound("webhook", id)
    return row


def remove(tx: Session, row: Webhook) -> None:
    """Delete a webhook with its deliveries; none is sent after this transaction."""
    tx.execute(delete(WebhookDelivery).where(WebhookDelivery.webhook_id == row.id))
    tx.delete(row)
    tx.flush()


def add_job_end(tx: Session, job: Job) -> None:
    """Add a delivery for each webhook of the owner of a job that has just ended."""
    event = f"job.{job.status}"
    query = select(Webhook).where(Webhook.owner.is_(None) if job.owner is None else Webhook.owner == job.owner)
    for row in tx.scalars(query):
        if event in row.events:
            _add(tx, row, event, {"id": job.id, "kind": job.kind, "status": job.status, "error": job.error})


def add_ping(tx: Session, row: Webhook) -> WebhookDelivery:
    """Add a delivery that only tests the webhook."""
    return _add(tx, row, "ping", {})


def _add(tx: Session, row: Webhook, event: str, data: Mapping[str, object]) -> WebhookDelivery:
    now = time.time()
    delivery = WebhookDelivery(
        id=new_id("dlv"),
        webhook_id=row.id,
        event=event,
        data=dict(data),
        created_at=now,
        next_at=now,
        attempts=0,
        delivered_at=None,
        http_status=None,
        error=None,
    )
    tx.add(delivery)
    tx.flush()
    return delivery


def due(tx: Session, *, limit: int) -> list[str]:
    """Ids of deliveries to send now, those that wait longest first."""
    query = select(WebhookDelivery.id).where(WebhookDelivery.next_at <= time.time())
    return list(tx.scalars(query.order_by(WebhookDelivery.next_at).limit(limit)))


def claim(tx: Session, id: str) -> tuple[WebhookDelivery, Webhook] | None:
    """Count an attempt and move the next one into the future; None if another sender was first.

    If this process dies while it sends, the delivery is sent again at that time.
    """
    delivery = tx.scalars(
        update(WebhookDelivery)
        .where(WebhookDelivery.id == id, WebhookDelivery.next_at <= time.time())
        .values(attempts=WebhookDelivery.attempts + 1, next_at=time.time() + _MAX_RETRY_S)
        .returning(WebhookDelivery),
        execution_options={"synchronize_session": False, "populate_existing": True},
    ).one_or_none()
    if delivery is None:
        return None
    delivery.next_at = time.time() + backoff_s(
        delivery.attempts, first_s=_FIRST_RETRY_S, max_s=_MAX_RETRY_S, jitter=(0.8, 1.2)
    )
    tx.flush()
    return delivery, get(tx, delivery.webhook_id)


def record(tx: Session, id: str, *, http_status: int | None, error: str | None) -> bool:
    """Record how an attempt ended; without an error it was delivered. Returns whether it will be tried again."""
    delivery = tx.get(WebhookDelivery, id)
    if delivery is None:  # the webhook was deleted meanwhile
        return False
    delivery.http_status, delivery.error = http_status, error[:_MAX_ERROR_CHARS] if error else None
    if error is None:
        delivery.delivered_at, delivery.next_at = time.time(), None
    elif time.time() - delivery.created_at > GIVE_UP_AFTER_S:
        delivery.next_at = None
    tx.flush()
    return delivery.next_at is not None


def deliveries(tx: Session, webhook_id: str, *, limit: int) -> list[WebhookDelivery]:
    """The newest deliveries of a webhook."""
    query = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id)
    return list(tx.scalars(query.order_by(WebhookDelivery.id.desc()).limit(limit)))


def delete_old(tx: Session) -> None:
    """Delete deliveries that ended long ago."""
    old = WebhookDelivery.next_at.is_(None) & (WebhookDelivery.created_at < time.time() - KEEP_S)
    tx.execute(delete(WebhookDelivery).where(old))


def message(delivery: WebhookDelivery) -> bytes:
    """The body of a delivery, the same for every attempt."""
    body = {"type": delivery.event, "id": delivery.id, "timestamp": delivery.created_at, "data": delivery.data}
    return json.dumps(body, separators=(",", ":")).encode()


def signed_headers(delivery_id: str, secret: str, body: bytes, *, at: float) -> dict[str, str]:
    """The headers of Standard Webhooks: an HMAC-SHA256 of id, time and body, so that no message can be replayed."""
    key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX))
    signed = f"{delivery_id}.{int(at)}.".encode() + body
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {"webhook-id": delivery_id, "webhook-timestamp": str(int(at)), "webhook-signature": f"v1,{signature}"}


def _invalid(code: str, detail: str) -> InvalidRequest:
    return InvalidRequest(code, detail, [InvalidField("/url", detail)])
