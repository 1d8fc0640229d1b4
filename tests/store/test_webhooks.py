"""Webhooks: allowed hosts, deliveries of ended jobs, attempts and the signature."""

import base64
import time
from itertools import pairwise

import pytest
from sqlalchemy.orm import Session

from store import webhooks
from store.db import Database
from store.errors import InvalidRequest
from store.jobs import jobs
from store.jobs.jobs import NewPart
from store.jobs.specs import CheckSpec
from store.lifecycle import transitions
from store.models import Webhook, WebhookDelivery

HOSTS = webhooks.allowed_hosts("ci.example.org, hooks:8443")


@pytest.mark.parametrize(
    "url",
    ["https://ci.example.org/x", "http://CI.example.org", "https://hooks:8443/a?b=c", "https://ci.example.org:8443"],
)
def test_urls(url: str) -> None:
    if url.endswith(":8443"):  # a host without a port stands for the default port only
        with pytest.raises(InvalidRequest):
            webhooks.check_url(url, HOSTS)
        return
    webhooks.check_url(url, HOSTS)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://ci.example.org",
        "https://",
        "https://ci.example.org@evil.example/",
        "https://user:secret@ci.example.org/",
        "https://ci.example.org.evil.example/",
        "https://evil.example/?ci.example.org",
        "https://127.0.0.1/",
        "http://hooks/",
        "https://ci.example.org:99999/",
        "javascript:alert(1)",
    ],
)
def test_refused_urls(url: str) -> None:
    with pytest.raises(InvalidRequest):
        webhooks.check_url(url, HOSTS)
    with pytest.raises(InvalidRequest):
        webhooks.check_url("https://ci.example.org", webhooks.allowed_hosts(""))


def _webhook(tx: Session, *, owner: str = "team", events: tuple[str, ...] = webhooks.JOB_EVENTS) -> Webhook:
    return webhooks.create(tx, url="https://ci.example.org", events=events, owner=owner, hosts=HOSTS)[0]


def _job(tx: Session, owner: str) -> str:
    spec = CheckSpec(attribute_set_id="ats_1", vocabulary_id="voc_1", num_labels=1)
    return jobs.create(tx, spec, [NewPart(kind="check", queue="enrich")], owner=owner).id


def test_the_end_of_a_job_is_reported_to_its_owner_once(db: Database) -> None:
    with db.write() as tx:
        mine, other = _webhook(tx), _webhook(tx, owner="other")
        failures = _webhook(tx, events=("job.failed",))
        job_id = _job(tx, "team")
        assert webhooks.due(tx, limit=10) == []
        transitions.cancel(tx, job_id)
        transitions.cancel(tx, job_id)
    with db.read() as tx:
        (delivery,) = webhooks.deliveries(tx, mine.id, limit=10)
        assert delivery.event == "job.cancelled"
        assert delivery.data == {"id": job_id, "kind": "check", "status": "cancelled", "error": None}
        for one in (other, failures):
            assert webhooks.deliveries(tx, one.id, limit=10) == []


def test_a_transaction_that_fails_reports_nothing(db: Database) -> None:
    with db.write() as tx:
        row = _webhook(tx)
        job_id = _job(tx, "team")

    def cancel_and_fail() -> None:
        with db.write() as tx:
            transitions.cancel(tx, job_id)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        cancel_and_fail()
    with db.read() as tx:
        assert webhooks.deliveries(tx, row.id, limit=10) == []


def test_attempts_back_off_until_they_are_given_up(db: Database) -> None:
    with db.write() as tx:
        row = _webhook(tx)
        id = webhooks.add_ping(tx, row).id
    pauses = []
    for attempt in range(1, 5):
        with db.write() as tx:
            claimed = webhooks.claim(tx, id)
            assert claimed is not None
            assert claimed[0].attempts == attempt
            assert webhooks.claim(tx, id) is None  # not due: another sender gets nothing
            assert webhooks.record(tx, id, http_status=500, error="status 500")
            delivery = tx.get_one(WebhookDelivery, id)
            assert delivery.next_at is not None
            pauses.append(delivery.next_at - time.time())
            delivery.next_at = time.time()
    assert 3 < pauses[0] < 7
    assert all(later > 1.2 * earlier for earlier, later in pairwise(pauses))
    with db.write() as tx:
        tx.get_one(WebhookDelivery, id).created_at -= webhooks.GIVE_UP_AFTER_S + 1
        assert webhooks.claim(tx, id) is not None
        assert not webhooks.record(tx, id, http_status=None, error="ConnectError")
        assert webhooks.due(tx, limit=10) == []
        tx.get_one(WebhookDelivery, id).created_at -= webhooks.KEEP_S
        webhooks.delete_old(tx)
        assert webhooks.deliveries(tx, row.id, limit=10) == []


def test_removing_a_webhook_drops_what_was_not_delivered(db: Database) -> None:
    with db.write() as tx:
        row = _webhook(tx)
        id = webhooks.add_ping(tx, row).id
        webhooks.remove(tx, row)
        assert webhooks.due(tx, limit=10) == []
        assert not webhooks.record(tx, id, http_status=200, error=None)


def test_the_signature_is_that_of_standard_webhooks() -> None:
    # The example of https://github.com/standard-webhooks/standard-webhooks (libraries/python/tests).
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    headers = webhooks.signed_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", secret, body, at=1614265330)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-timestamp"] == "1614265330"
    assert len(base64.b64decode(headers["webhook-signature"].removeprefix("v1,"))) == 32
