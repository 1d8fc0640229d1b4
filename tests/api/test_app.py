"""The app as a whole: import time, and behaviour of middleware and exception handlers that no single module defines."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from sqlalchemy.exc import OperationalError

from api.routes.health import router as health_router
from store.jobs import heartbeats, progress
from store.models import AttributeSet
from tests.api.conftest import Service
from tests.api.http.test_downloads import publish

_IMPORT = """
import json, resource, sys
import api.app
used = resource.getrusage(resource.RUSAGE_SELF)
heavy = ("torch", "torchvision", "timm", "open_clip", "openai", "celery", "kombu", "redis", "numpy", "alembic")
print(json.dumps([used.ru_utime + used.ru_stime, [name for name in heavy if name in sys.modules]]))
"""


def test_importing_the_app_is_quick_and_loads_nothing_heavy() -> None:
    # Time of the processor, and the best of some: what else the machine is doing is no matter here.
    seconds = []
    for _ in range(4):
        out = subprocess.run([sys.executable, "-c", _IMPORT], capture_output=True, text=True, check=True).stdout
        took, heavy = json.loads(out)
        assert heavy == []
        seconds.append(took)
        if took < 1.5:
            break
    assert min(seconds) < 1.5, seconds


def test_readiness_names_what_is_missing(service: Service) -> None:
    answer = service.http.get("/readyz")
    assert answer.status_code == 503
    checks = answer.json()["checks"]
    assert {name: check["ok"] for name, check in checks.items()} == {
        "database": True,
        "sweeper": False,
        "enrich workers": False,
        "gpu workers": False,
    }
    with service.db.write() as tx:
        for role in ("sweeper", "enrich", "gpu"):
            heartbeats.beat(tx, name=role, role=role)
    answer = service.http.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")


def test_readiness_with_redis_away_is_answered_at_once(make_service: Callable[..., Service]) -> None:
    answer = make_service(redis_url="redis://:hushhush@127.0.0.1:1/0").http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["redis"] == {"ok": False, "detail": "ConnectionError"}


def test_readiness_with_a_redis_that_is_silent(make_service: Callable[..., Service]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # the kernel takes the connection, and nobody answers
        service = make_service(redis_url=f"redis://127.0.0.1:{server.getsockname()[1]}/0")
        assert service.http.get("/readyz").json()["checks"]["redis"] == {"ok": False, "detail": "TimeoutError"}


@pytest.mark.servers
def test_readiness_with_redis(make_service: Callable[..., Service]) -> None:
    url = os.environ.get("LIMBECK_TEST_REDIS", "redis://127.0.0.1:6379/9")
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=5) as client:
            client.ping()
    except redis.RedisError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"Redis cannot be reached: {error}")
    assert make_service(redis_url=url).http.get("/readyz").json()["checks"]["redis"] == {
        "ok": True,
        "detail": "responds",
    }


def test_readiness_of_a_database_that_was_not_migrated_or_hangs(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.app.state.is_current = lambda: False
    assert "limbeck db upgrade" in service.http.get("/readyz").json()["checks"]["database"]["detail"]
    from api.routes import health

    monkeypatch.setattr(health, "_CHECK_TIMEOUT_S", 0.1)
    gate = threading.Event()
    asked = 0

    def hang() -> bool:
        nonlocal asked
        asked += 1
        return gate.wait(timeout=20)

    service.app.state.is_current = hang
    for _ in range(3):
        answer = service.http.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["checks"]["database"]["detail"] == "no response within 0.1 s"
    assert asked == 1  # whoever hangs is not asked again
    monkeypatch.setattr(health, "_CHECK_TIMEOUT_S", 20)
    gate.set()
    assert service.http.get("/readyz").json()["checks"]["database"]["ok"] is True


def test_metrics(service: Service) -> None:
    vocabulary_id = service.vocabulary()
    for _ in range(2):
        service.post("/v1/jobs", {"kind": "enrich", "vocabulary_id": vocabulary_id}, status=202)
    service.http.get("/v1/jobs/job_none")
    text = service.http.get("/metrics").text
    assert 'limbeck_jobs{kind="enrich",status="queued"} 2.0' in text
    assert 'limbeck_parts{queue="enrich",status="queued"} 2.0' in text
    assert 'limbeck_request_seconds_count{method="POST",route="/v1/jobs",status="202"} 2.0' in text
    assert 'limbeck_request_seconds_count{method="GET",route="/v1/jobs/{id}",status="404"} 1.0' in text
    assert "job_none" not in text  # a label for each id would fill the memory of who scrapes


def test_every_operation_is_documented(service: Service) -> None:
    document = service.get("/openapi.json")
    operations = {(method, path): one for path, found in document["paths"].items() for method, one in found.items()}
    assert len(operations) > 25
    text = json.dumps(document)
    for reference in {part.split('"')[0] for part in text.split('"$ref": "#/components/schemas/')[1:]}:
        assert reference in document["components"]["schemas"], reference
    for (method, path), operation in operations.items():
        assert operation["description"], path
        if path == "/healthz":
            continue
        problems = {status for status, one in operation["responses"].items() if "problem+json" in str(one)}
        assert {"401", "403"} <= problems, path
        assert "503" in operation["responses"], path
        assert ("404" in problems) == ("{" in path), path
        if method == "post":
            assert {"409", "413", "422"} <= problems, path
            if path == "/v1/jobs/estimate":
                continue  # it makes nothing, so that there is nothing to make only once
            names = [one["name"] for one in operation["parameters"]]
            assert "Idempotency-Key" in [name.title().replace("_", "-") for name in names], path
    assert document["components"]["schemas"]["Problem"]["properties"]["code"]
    assert "HTTPValidationError" not in text
    ids = [one["operationId"] for one in operations.values()]
    assert len(set(ids)) == len(ids)
    jobs = operations["post", "/v1/jobs"]["requestBody"]["content"]["application/json"]
    assert "enrich" in json.dumps(jobs["examples"] if "examples" in jobs else jobs["schema"])


def test_pages_show_text_as_text(service: Service) -> None:
    empty = service.http.get("/")
    assert empty.text.count("None yet.") == 3
    publish(service.db, service.artefacts)
    with service.db.write() as tx:
        from store.models import Checkpoint

        tx.get_one(Checkpoint, "ckp_1").student = "<script>alert(1)</script>"
    landing, docs = service.http.get("/"), service.http.get("/docs")
    assert "<script>" not in landing.text
    assert "&lt;script&gt;alert(1)" in landing.text
    assert "ID 50.0%" in landing.text
    assert "/v1/checkpoints/{id}/files/{path}" in docs.text
    for answer in (landing, docs):
        assert answer.status_code == 200
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert not any(word in answer.text for word in ("http://", "https://", "<script", "<img", "<link"))


def test_every_answer_bears_the_same_headers(service: Service) -> None:
    for path in ("/healthz", "/", "/v1/jobs", "/v1/jobs/job_none", "/nowhere"):
        headers = service.http.get(path, headers={"X-Request-Id": "abc.1"}).headers
        assert headers["x-request-id"] == "abc.1"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
    made = service.http.get("/healthz", headers={"X-Request-Id": "a b\tc"}).headers["x-request-id"]
    assert len(made) == 16


def test_unknown_paths_and_methods_are_problems(service: Service) -> None:
    for method, path, status, code in (
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/v1/jobs/", 404, "not_found"),
        ("DELETE", "/v1/jobs", 405, "method_not_allowed"),
        ("PUT", "/v1/vocabularies", 405, "method_not_allowed"),
    ):
        answer = service.http.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (status, code), path
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
    for path in ("/v1/jobs/a%00b", "/v1/jobs?kind=%00", "/v1/jobs?after=a%00"):
        assert service.http.get(path).status_code == 400


def test_bodies_are_counted_as_they_stream(make_service: Callable[..., Service]) -> None:
    service = make_service(max_body_bytes=2048)
    sent = 0

    def stream() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1024
            yield b"x" * 1024

    for path in ("/v1/vocabularies?name=a", "/v1/jobs", "/v1/datasets", "/v1/attribute-sets/import"):
        for content in (b"x" * 2049, stream()):
            kind = "text/plain" if "?" in path else "application/json"
            answer = service.http.post(path, content=content, headers={"Content-Type": kind})
            assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large"), path
    answer = service.http.post("/v1/vocabularies?name=a", content=b"x", headers={"Content-Length": "-5"})
    assert answer.status_code == 413
    form = service.http.post("/v1/attribute-sets/import", data={"format": "x" * 3000}, files={"a": b"b"})
    assert form.status_code == 413
    assert service.get("/v1/vocabularies")["data"] == []


def test_forms_that_are_no_forms(service: Service) -> None:
    for content, kind in (
        (b"--x\r\nContent-Dispos", "multipart/form-data; boundary=x"),
        (b"", "multipart/form-data"),
        (b"junk", "multipart/form-data; boundary=x"),
    ):
        answer = service.http.post("/v1/attribute-sets/import", content=content, headers={"Content-Type": kind})
        assert 400 <= answer.status_code < 500, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
    many = {f"file{n}": b"x" for n in range(30)}
    assert service.http.post("/v1/attribute-sets/import", files=many).status_code == 400
    with service.db.read() as tx:
        assert tx.query(AttributeSet).count() == 0


def test_faults_are_problems_that_tell_nothing(
    service: Service, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("the password is swordfish")

    monkeypatch.setattr(progress, "job", broken)
    answer = service.http.get("/v1/jobs/job_1")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "swordfish" not in answer.text
    line = json.loads(capfd.readouterr().err.splitlines()[-1])
    assert (line["level"], line["status"], line["request_id"]) == ("error", 500, answer.headers["x-request-id"])
    assert "swordfish" in line["exception"]

    def away(*_: Any, **__: Any) -> Any:
        raise OperationalError("select 1", {}, Exception("connection refused"))

    monkeypatch.setattr(progress, "job", away)
    answer = service.http.get("/v1/jobs/job_1")
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert answer.headers["retry-after"] == "2"


def test_liveness_asks_nothing_of_anyone() -> None:
    (route,) = [one for one in health_router.routes if getattr(one, "path", "") == "/healthz"]
    assert route.dependant.dependencies == []
