"""Idempotency keys: the stored response is returned, another request is refused, expired keys are free."""

import pytest
from sqlalchemy import update

from store import idempotency
from store.db import Database
from store.errors import Conflict
from store.idempotency import StoredResponse
from store.models import IdempotencyRecord

RESPONSE = StoredResponse(201, {"location": "/vocabularies/voc_1"}, '{"id": "voc_1"}')
KEY = {"principal": "alice", "key": "k1"}


def test_the_second_request_gets_the_response_of_the_first(db: Database) -> None:
    with db.write() as tx:
        assert idempotency.find(tx, **KEY, request_sha256="a") is None
        assert idempotency.reserve(tx, **KEY, request_sha256="a") is None
        idempotency.save_response(tx, **KEY, response=RESPONSE)
    with db.write() as tx:
        assert idempotency.find(tx, **KEY, request_sha256="a") == RESPONSE
        assert idempotency.reserve(tx, **KEY, request_sha256="a") == RESPONSE
        assert idempotency.reserve(tx, principal="bob", key="k1", request_sha256="b") is None


def test_a_key_for_another_request_and_a_running_request_are_conflicts(db: Database) -> None:
    with db.write() as tx:
        idempotency.reserve(tx, **KEY, request_sha256="a")
    with db.write() as tx:
        with pytest.raises(Conflict) as error:
            idempotency.reserve(tx, **KEY, request_sha256="a")
        assert error.value.code == "idempotency_in_progress"
        with pytest.raises(Conflict) as error:
            idempotency.find(tx, **KEY, request_sha256="b")
        assert error.value.code == "idempotency_key_reused"


def test_a_key_is_free_after_its_transaction_is_rolled_back(db: Database) -> None:
    with db.write() as tx:
        idempotency.reserve(tx, **KEY, request_sha256="a")
        tx.rollback()
    with db.write() as tx:
        assert idempotency.reserve(tx, **KEY, request_sha256="b") is None


def test_expired_keys_are_deleted(db: Database) -> None:
    with db.write() as tx:
        for key, age_s in (("old", 3660), ("new", 3540)):
            idempotency.reserve(tx, principal="alice", key=key, request_sha256="a")
            row = update(IdempotencyRecord).where(IdempotencyRecord.key == key)
            tx.execute(row.values(created_at=IdempotencyRecord.created_at - age_s))
    with db.write() as tx:
        idempotency.delete_expired(tx, keep_s=3600)
        assert idempotency.reserve(tx, principal="alice", key="old", request_sha256="b") is None
        with pytest.raises(Conflict):
            idempotency.reserve(tx, principal="alice", key="new", request_sha256="b")
