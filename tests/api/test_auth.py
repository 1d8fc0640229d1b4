"""Authentication by keys and scopes, and requests without a key on loopback."""

import time
from collections.abc import Callable

import pytest

from api.auth import NO_KEY_YET, is_loopback
from store.access import api_keys
from store.models import Vocabulary
from tests.api.conftest import Service, bearer, create_key

BODY = {"name": "b", "labels": ["crane"]}


def test_without_a_key_only_liveness_and_readiness_are_public(public: Service) -> None:
    create_key(public, "read")
    assert public.http.get("/healthz").json() == {"status": "ok"}
    assert "database" in public.http.get("/readyz").json()["checks"]
    for path in (
        "/",
        "/docs",
        "/openapi.json",
        "/metrics",
        "/v1/jobs",
        "/nowhere",
        "/healthz/",
        "//healthz",
    ):
        response = public.http.get(path)
        assert (response.status_code, response.json()["code"]) == (401, "unauthorized"), path
        assert response.headers["www-authenticate"].startswith("Bearer")
    assert public.http.post("/v1/vocabularies", json=BODY).status_code == 401
    with public.db.read() as tx:
        assert tx.query(Vocabulary).count() == 0


def test_a_service_without_a_key_waits_for_the_first_one(public: Service) -> None:
    for headers in ({}, bearer("lbk_wrong")):
        response = public.http.get("/v1/jobs", headers=headers)
        assert (response.status_code, response.json()["code"]) == (503, "no_key_yet")
        assert "limbeck key create" in response.json()["detail"]
        assert response.headers["retry-after"]
    assert public.http.post("/v1/vocabularies", json=BODY).status_code == 503
    assert public.http.get("/healthz").status_code == 200
    ready = public.http.get("/readyz", params={"checks": "database,keys"})
    assert ready.status_code == 503
    assert ready.json()["checks"]["keys"] == {"ok": False, "detail": NO_KEY_YET}
    secret = create_key(public, "read")
    assert public.http.get("/v1/jobs").status_code == 401
    assert public.http.get("/v1/jobs", headers=bearer(secret)).status_code == 200
    ready = public.http.get("/readyz", params={"checks": "database,keys"})
    assert (ready.status_code, set(ready.json()["checks"])) == (200, {"database", "keys"})
    with public.db.write() as tx:  # a key that was revoked is no first key
        for key in api_keys.list_keys(tx):
            api_keys.revoke(tx, key.id)
    assert public.http.get("/v1/jobs", headers=bearer(secret)).status_code == 401


def test_scopes(public: Service) -> None:
    read, write, both = create_key(public, "read"), create_key(public, "write"), create_key(public, "read", "write")
    for secret, may_read, may_write in ((read, 200, 403), (write, 403, 201), (both, 200, 201)):
        responses = [
            public.http.get("/v1/jobs", headers=bearer(secret)),
            public.http.post("/v1/vocabularies", json=BODY | {"domain": f"{may_read}"}, headers=bearer(secret)),
        ]
        assert [response.status_code for response in responses] == [may_read, may_write]
        for response in responses:
            if response.status_code == 403:
                assert response.json()["code"] == "scope_missing"
                assert 'error="insufficient_scope"' in response.headers["www-authenticate"]


def test_invalid_expired_and_revoked_keys(public: Service) -> None:
    live = create_key(public, "read", expires_at=time.time() + 60)
    assert public.http.get("/v1/jobs", headers=bearer(live)).status_code == 200
    expired = create_key(public, "read", expires_at=time.time() - 1)
    revoked = create_key(public, "read")
    with public.db.write() as tx:
        for key in api_keys.list_keys(tx):
            if key.expires_at is None:
                api_keys.revoke(tx, key.id)
    for header in (
        f"Bearer {expired}",
        f"Bearer {revoked}",
        f"Bearer {live}x",
        "Bearer lbk_",
        "Bearer ",
        "Bearer",
        f"Basic {live}",
        live,
        "",
        "Bearer a\u00e9",
    ):
        response = public.http.get("/v1/jobs", headers={"Authorization": header.encode("latin-1")})
        assert (response.status_code, response.json()["code"]) == (401, "unauthorized"), header
    assert public.http.get("/v1/jobs", headers=bearer(live)).status_code == 200


def test_on_loopback_a_key_is_optional_but_a_wrong_key_is_rejected(service: Service) -> None:
    assert service.http.get("/v1/jobs").status_code == 200
    assert service.http.get("/v1/jobs", headers=bearer("lbk_wrong")).status_code == 401
    read = create_key(service, "read")
    assert service.http.post("/v1/vocabularies", json=BODY, headers=bearer(read)).status_code == 403
    # With a key it does not matter by which way a request came.
    for headers in ({"X-Forwarded-For": "10.0.0.1"}, {"Host": "birds.example"}):
        assert service.http.get("/v1/jobs", headers={**bearer(read), **headers}).status_code == 200


@pytest.mark.slow
def test_on_loopback_web_pages_and_proxies_are_rejected(service: Service) -> None:
    for headers in (
        {"Host": "evil.example"},
        {"Host": "evil.example:8420"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": ""},
        {"Host": "192.168.1.5:8420"},
        {"Host": "localhost.evil.example"},
        {"Host": "["},
        {"Host": "user@evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1@evil.com"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-Host": "localhost"},
        {"X-Forwarded-Proto": "https"},
        {"Forwarded": "for=127.0.0.1"},
        {"X-Real-IP": "127.0.0.1"},
        {"Via": "1.1 proxy"},
    ):
        for response in (
            service.http.get("/v1/jobs", headers=headers),
            service.http.post("/v1/vocabularies", json=BODY, headers=headers),
        ):
            assert (response.status_code, response.json()["code"]) == (403, "not_loopback"), headers
    for headers in (
        {"Host": "localhost:8420"},
        {"Host": "LOCALHOST"},
        {"Host": "[::1]:8420"},
        {"Host": "127.0.0.1"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "http://127.0.0.1:8420"},
    ):
        assert service.http.get("/v1/jobs", headers=headers).status_code == 200, headers


def test_a_server_bound_to_another_address_than_in_the_settings_needs_keys(
    make_service: Callable[..., Service],
) -> None:
    service = make_service("http://10.1.2.3:8420")
    assert service.http.get("/v1/jobs", headers={"Host": "localhost"}).status_code == 401


def test_is_loopback() -> None:
    for host in ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LocalHost."):
        assert is_loopback(host), host
    for host in (
        "0.0.0.0",
        "",
        "::",
        "10.0.0.1",
        "localhost.example",
        "127.0.0.1.example",
        "2130706433",
        "::ffff:1.2.3.4",
    ):
        assert not is_loopback(host), host
