"""Who is let in: keys and their scopes; loopback without keys, and nobody who comes by way of a page or a proxy."""

import time
from collections.abc import Callable

import pytest

from api.auth import is_loopback
from store import keys
from store.models import Vocabulary
from tests.api.conftest import Service

BODY = {"name": "b", "labels": ["crane"]}


def _key(service: Service, *scopes: str, expires_at: float | None = None) -> str:
    with service.db.write() as tx:
        return keys.create(tx, name="k", scopes=scopes, expires_at=expires_at)[1]


def _bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture
def public(make_service: Callable[..., Service]) -> Service:
    """A service bound to every address."""
    return make_service(host="0.0.0.0")


def test_without_a_key_nothing_but_liveness(public: Service) -> None:
    assert public.http.get("/healthz").json() == {"status": "ok"}
    for path in (
        "/",
        "/docs",
        "/openapi.json",
        "/readyz",
        "/metrics",
        "/v1/jobs",
        "/nowhere",
        "/healthz/",
        "//healthz",
    ):
        answer = public.http.get(path)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), path
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert public.http.post("/v1/vocabularies", json=BODY).status_code == 401
    with public.db.read() as tx:
        assert tx.query(Vocabulary).count() == 0


def test_scopes(public: Service) -> None:
    read, write, both = _key(public, "read"), _key(public, "write"), _key(public, "read", "write")
    for secret, may_read, may_write in ((read, 200, 403), (write, 403, 201), (both, 200, 201)):
        answers = [
            public.http.get("/v1/jobs", headers=_bearer(secret)),
            public.http.post("/v1/vocabularies", json=BODY, headers=_bearer(secret)),
        ]
        assert [answer.status_code for answer in answers] == [may_read, may_write]
        for answer in answers:
            if answer.status_code == 403:
                assert answer.json()["code"] == "scope_missing"
                assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


def test_keys_that_are_not_live(public: Service) -> None:
    live = _key(public, "read", expires_at=time.time() + 60)
    assert public.http.get("/v1/jobs", headers=_bearer(live)).status_code == 200
    expired = _key(public, "read", expires_at=time.time() - 1)
    revoked = _key(public, "read")
    with public.db.write() as tx:
        for key in keys.every(tx):
            if key.expires_at is None:
                keys.revoke(tx, key.id)
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
        answer = public.http.get("/v1/jobs", headers={"Authorization": header.encode("latin-1")})
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), header
    assert public.http.get("/v1/jobs", headers=_bearer(live)).status_code == 200


def test_on_loopback_this_machine_needs_no_key_but_a_wrong_one_is_wrong(service: Service) -> None:
    assert service.http.get("/v1/jobs").status_code == 200
    assert service.http.get("/v1/jobs", headers=_bearer("lbk_wrong")).status_code == 401
    read = _key(service, "read")
    assert service.http.post("/v1/vocabularies", json=BODY, headers=_bearer(read)).status_code == 403
    # With a key it does not matter by which way a request came.
    for headers in ({"X-Forwarded-For": "10.0.0.1"}, {"Host": "birds.example"}):
        assert service.http.get("/v1/jobs", headers={**_bearer(read), **headers}).status_code == 200


def test_on_loopback_no_page_and_no_proxy_gets_in(service: Service) -> None:
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
        for answer in (
            service.http.get("/v1/jobs", headers=headers),
            service.http.post("/v1/vocabularies", json=BODY, headers=headers),
        ):
            assert (answer.status_code, answer.json()["code"]) == (403, "not_loopback"), headers
    for headers in (
        {"Host": "localhost:8420"},
        {"Host": "LOCALHOST"},
        {"Host": "[::1]:8420"},
        {"Host": "127.0.0.1"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "http://127.0.0.1:8420"},
    ):
        assert service.http.get("/v1/jobs", headers=headers).status_code == 200, headers


def test_a_server_started_elsewhere_than_the_settings_say_asks_for_keys(make_service: Callable[..., Service]) -> None:
    service = make_service("http://10.1.2.3:8420")
    assert service.http.get("/v1/jobs", headers={"Host": "localhost"}).status_code == 401


def test_loopback_names() -> None:
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


def test_no_secret_reaches_a_log(public: Service, capfd: pytest.CaptureFixture[str]) -> None:
    secret = _key(public, "read")
    wrong = "lbk_" + "W" * 43
    public.http.get("/v1/jobs?token=querysecret", headers=_bearer(secret))
    public.http.get("/v1/jobs", headers=_bearer(wrong))
    public.http.get("/v1/jobs/%0anewline", headers=_bearer(secret))
    public.http.post("/v1/vocabularies", json={"name": "bodysecret"}, headers=_bearer(secret))
    out, err = capfd.readouterr()
    lines = [line for line in err.splitlines() if '"request"' in line]
    assert len(lines) == 4
    for hidden in (secret, secret.removeprefix("lbk_"), wrong, "querysecret", "bodysecret", "Bearer"):
        assert hidden not in out + err
