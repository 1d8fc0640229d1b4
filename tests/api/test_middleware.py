"""Request ids, default headers, body limits and the handling of exceptions."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
from sqlalchemy.exc import OperationalError
from starlette.types import Message

from limbeck.shared.parts import installed_version
from store.jobs import progress
from tests.api.conftest import Service


def test_every_response_has_the_default_headers(service: Service) -> None:
    for path in ("/healthz", "/", "/v1/jobs", "/v1/jobs/job_none", "/nowhere"):
        headers = service.http.get(path, headers={"X-Request-Id": "abc.1"}).headers
        assert headers["x-request-id"] == "abc.1"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["limbeck-version"] == installed_version()
        assert headers["cache-control"] == "no-store"
    generated = service.http.get("/healthz", headers={"X-Request-Id": "a b\tc"}).headers["x-request-id"]
    assert len(generated) == 16


@pytest.mark.slow
def test_body_limit_applies_to_streamed_bodies(make_service: Callable[..., Service]) -> None:
    service = make_service(max_body_bytes=2048)

    def stream() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 1024

    for path in ("/v1/vocabularies?name=a", "/v1/jobs", "/v1/datasets", "/v1/attribute-sets/import"):
        for content in (b"x" * 2049, stream()):
            kind = "text/plain" if "?" in path else "application/json"
            response = service.http.post(path, content=content, headers={"Content-Type": kind})
            assert (response.status_code, response.json()["code"]) == (413, "body_too_large"), path
            assert response.json()["detail"] == "the body is longer than 2048 bytes"
            assert response.headers["content-type"] == "application/problem+json"
            assert response.headers["connection"] == "close"
            assert response.headers["x-request-id"]
    for method, path in (("POST", "/nowhere"), ("GET", "/v1/jobs"), ("POST", "/v1/jobs/job_1/cancel")):
        response = service.http.request(method, path, content=b"x" * 2049)
        assert (response.status_code, response.json()["code"]) == (413, "body_too_large"), path
    assert service.http.post("/v1/vocabularies?name=a", content=b"x" * 2048).status_code == 415
    response = service.http.post("/v1/vocabularies?name=a", content=b"x", headers={"Content-Length": "-5"})
    assert response.status_code == 413
    form = service.http.post("/v1/attribute-sets/import", data={"format": "x" * 3000}, files={"a": b"b"})
    assert form.status_code == 413
    assert service.get("/v1/vocabularies")["data"] == []


def test_a_streamed_body_is_read_up_to_the_limit_only(make_service: Callable[..., Service]) -> None:
    service = make_service(max_body_bytes=2048)
    num_read = 0
    sent: list[Message] = []

    async def receive() -> Message:
        nonlocal num_read
        num_read += 1
        return {"type": "http.request", "body": b"x" * 1024, "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/vocabularies",
        "raw_path": b"/v1/vocabularies",
        "query_string": b"name=a",
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"text/plain"), (b"transfer-encoding", b"chunked")],
    }
    anyio.run(service.app, scope, receive, send)
    assert (num_read, sent[0]["status"]) == (3, 413)


def test_exceptions_become_problems_without_internals(
    service: Service, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("the password is swordfish")

    monkeypatch.setattr(progress, "of_job", broken)
    response = service.http.get("/v1/jobs/job_1")
    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    assert "swordfish" not in response.text
    line = json.loads(capfd.readouterr().err.splitlines()[-1])
    assert (line["level"], line["status"], line["request_id"]) == ("error", 500, response.headers["x-request-id"])
    assert "swordfish" in line["exception"]

    def unavailable(*_: Any, **__: Any) -> Any:
        raise OperationalError("select 1", {}, Exception("connection refused"))

    monkeypatch.setattr(progress, "of_job", unavailable)
    response = service.http.get("/v1/jobs/job_1")
    assert (response.status_code, response.json()["code"]) == (503, "database_unavailable")
    assert response.headers["retry-after"] == "2"
