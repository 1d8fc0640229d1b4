"""Sending webhooks: to a real server, with a signature, without following redirects, until it answers 2xx."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2

from store import webhooks
from store.artefacts import Artefacts
from store.db import Database
from store.models import WebhookDelivery
from tests.api.conftest import settings_at
from workers.runtime.context import Context
from workers.webhooks import send_due


@dataclass
class Receiver:
    """A server that answers with `statuses` in turn and keeps the requests."""

    url: str
    statuses: list[int]
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def receiver(*statuses: int) -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            found.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(found.statuses.pop(0) if found.statuses else 200)
            self.send_header("Location", found.url + "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Receiver(f"http://127.0.0.1:{server.server_port}", list(statuses))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _context(db: Database, home: Path, hosts: str) -> Context:
    settings = settings_at(home, webhook_hosts=hosts)
    return Context(settings, db, Artefacts(settings.artefacts))


def _make_due(db: Database, id: str) -> None:
    with db.write() as tx:
        tx.get_one(WebhookDelivery, id).next_at = 0.0


def test_a_message_is_sent_until_the_server_takes_it(db: Database, tmp_path: Path) -> None:
    with receiver(500, 302) as server, httpx2.Client(trust_env=False) as client:
        host = server.url.removeprefix("http://")
        context = _context(db, tmp_path, host)
        with db.write() as tx:
            hosts = webhooks.allowed_hosts(host)
            row, secret = webhooks.create(tx, url=server.url, events=["job.failed"], owner=None, hosts=hosts)
            id = webhooks.add_ping(tx, row).id
        for number in range(1, 4):
            _make_due(db, id)
            assert send_due(context, client) == 1
            assert len(server.requests) == number  # the redirect was not followed
        assert send_due(context, client) == 0
        assert len({body for _, body in server.requests}) == 1
        headers, body = server.requests[-1]
        assert json.loads(body)["type"] == "ping"
        signed = f"{id}.{headers['webhook-timestamp']}.".encode() + body
        key = base64.b64decode(secret.removeprefix("whsec_"))
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"
        with db.read() as tx:
            (delivery,) = webhooks.deliveries(tx, row.id, limit=1)
            assert (delivery.attempts, delivery.http_status, delivery.error) == (3, 200, None)
            assert delivery.delivered_at is not None


def test_a_server_that_is_away_and_a_host_that_is_not_allowed_any_more(db: Database, tmp_path: Path) -> None:
    with receiver() as server:
        url = server.url
    host = url.removeprefix("http://")
    with db.write() as tx:
        row, _ = webhooks.create(tx, url=url, events=["job.failed"], owner=None, hosts=frozenset({host}))
        id = webhooks.add_ping(tx, row).id
    with httpx2.Client(trust_env=False) as client:
        send_due(_context(db, tmp_path, host), client)
        with db.read() as tx:
            assert (tx.get_one(WebhookDelivery, id).error or "").startswith("ConnectError")
        _make_due(db, id)
        send_due(_context(db, tmp_path, ""), client)
    with db.read() as tx:
        delivery = tx.get_one(WebhookDelivery, id)
        assert "host that the operator does not allow" in (delivery.error or "")
        assert delivery.next_at is not None
