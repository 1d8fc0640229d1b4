"""Sends the deliveries of webhooks that are due, in a thread of the sweeper (`store.webhooks` has the rules).

Redirects are not followed, and the host is checked again at every attempt, because the operator may have changed the
allowed ones.
"""

import threading
import time

import httpx2
import structlog
from sqlalchemy.exc import SQLAlchemyError

from limbeck.shared.parts import installed_version
from store import webhooks
from store.errors import InvalidRequest
from workers.runtime.context import Context

log = structlog.get_logger()
_PAUSE_S = 1.0
_TIMEOUT_S = 10.0
_PER_ROUND = 20


def start_sender(context: Context) -> None:
    """Start the thread; it ends with the context."""
    threading.Thread(target=_run, args=(context,), name="webhooks", daemon=True).start()


def _run(context: Context) -> None:
    with httpx2.Client(timeout=_TIMEOUT_S, follow_redirects=False, trust_env=False) as client:
        while not context.shutting_down.wait(_PAUSE_S):
            try:
                send_due(context, client)
            except SQLAlchemyError as error:
                log.warning("database_unreachable", queue="webhooks", error=type(error).__name__)


def send_due(context: Context, client: httpx2.Client) -> int:
    """Send each delivery that is due once; returns how many were sent."""
    with context.db.read() as tx:
        ids = webhooks.due(tx, limit=_PER_ROUND)
    for id in ids:
        if context.shutting_down.is_set():
            break
        _send(context, client, id)
    return len(ids)


def _send(context: Context, client: httpx2.Client, id: str) -> None:
    with context.db.write() as tx:
        claimed = webhooks.claim(tx, id)
        if claimed is None:
            return
        delivery, webhook = claimed
        url, secret, body, attempt = webhook.url, webhook.secret, webhooks.message(delivery), delivery.attempts
    status, error = None, None
    try:
        webhooks.check_url(url, webhooks.allowed_hosts(context.settings.webhook_hosts))
        headers = {
            **webhooks.signed_headers(id, secret, body, at=time.time()),
            "Content-Type": "application/json",
            "User-Agent": f"limbeck/{installed_version()}",
        }
        status = client.post(url, content=body, headers=headers).status_code
        if not 200 <= status < 300:
            error = f"status {status}"
    except InvalidRequest as refusal:
        error = f"the URL {refusal}"
    except httpx2.HTTPError as failure:
        error = f"{type(failure).__name__}: {failure}"
    with context.db.write() as tx:
        again = webhooks.record(tx, id, http_status=status, error=error)
    if error is not None:
        log.warning("webhook_failed", delivery=id, attempt=attempt, error=error[:200], again=again)
