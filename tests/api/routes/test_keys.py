"""API keys as a resource, for keys with the scope admin."""

import pytest
from sqlalchemy import select

from store.models import AuditRecord, IdempotencyRecord
from tests.api.conftest import Service, bearer, create_key

BODY = {"name": "ann", "scopes": ["write"], "requests_per_min": 100, "budget_usd": "2.50"}


def test_a_secret_is_shown_once_and_stored_nowhere(public: Service) -> None:
    admin = bearer(create_key(public, "admin", name="ops"))
    headers = admin | {"Idempotency-Key": "k1"}
    created = public.http.post("/v1/keys", json=BODY, headers=headers).json()
    secret = created.pop("secret")
    assert created["budget_usd"] == "2.5"
    assert created["last_used_at"] is created["max_jobs"] is None
    repeated = public.http.post("/v1/keys", json=BODY, headers=headers).json()
    assert repeated == created | {"secret": None}
    vocabulary = public.http.post("/v1/vocabularies", json={"name": "b", "labels": ["crane"]}, headers=bearer(secret))
    assert vocabulary.json()["owner"] == "ann"
    listed = public.http.get("/v1/keys?owner=ann", headers=admin).json()["data"]
    assert [key["id"] for key in listed] == [created["id"]]
    with public.db.read() as tx:
        rows = [vars(row) for model in (IdempotencyRecord, AuditRecord) for row in tx.scalars(select(model))]
    assert rows
    assert secret not in str([*rows, listed])


def test_limits_are_changed_and_a_key_is_revoked(public: Service) -> None:
    admin = bearer(create_key(public, "admin", name="ops"))
    created = public.http.post("/v1/keys", json=BODY, headers=admin).json()
    path = f"/v1/keys/{created['id']}"
    changed = public.http.patch(path, json={"max_jobs": 2, "budget_usd": None}, headers=admin).json()
    assert (changed["requests_per_min"], changed["max_jobs"], changed["budget_usd"]) == (100, 2, None)
    usage = public.http.get(path, headers=admin).json()
    assert (usage["unfinished_jobs"], usage["committed_usd"]) == (0, "0")
    assert public.http.delete(path, headers=admin).json()["revoked_at"]
    assert public.http.get("/v1/jobs", headers=bearer(created["secret"])).status_code == 401


def test_keys_and_audit_need_the_scope_admin(public: Service) -> None:
    both = bearer(create_key(public, "read", "write"))
    for method, path, body in (
        ("POST", "/v1/keys", BODY),
        ("GET", "/v1/keys", None),
        ("GET", "/v1/keys/key_1", None),
        ("PATCH", "/v1/keys/key_1", {}),
        ("DELETE", "/v1/keys/key_1", None),
        ("GET", "/v1/audit", None),
    ):
        response = public.http.request(method, path, json=body, headers=both)
        assert (response.status_code, response.json()["code"]) == (403, "scope_missing"), path
        assert 'scope="admin"' in response.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"name": "me"}, "/name"),
        ({"name": " "}, "/name"),
        ({"scopes": ["root"]}, "/scopes/0"),
        ({"scopes": []}, "/scopes"),
        ({"requests_per_min": 0}, "/requests_per_min"),
        ({"budget_usd": "-1"}, "/budget_usd"),
        ({"lifetime_s": 0}, "/lifetime_s"),
    ],
)
def test_invalid_keys(service: Service, change: dict[str, object], pointer: str) -> None:
    problem = service.rejection("/v1/keys", BODY | change)
    assert [item["pointer"] for item in problem["errors"]] == [pointer]
