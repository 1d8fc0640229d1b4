"""Liveness and readiness."""

import os
import socket
import threading
from collections.abc import Callable

import pytest
import redis

from api.routes.health import router as health_router
from store.jobs import heartbeats, jobs
from store.jobs.jobs import NewPart
from tests.api.conftest import Service
from tests.job_specs import job_spec


def test_readiness_lists_missing_processes(service: Service) -> None:
    response = service.http.get("/readyz")
    assert response.status_code == 503
    checks = response.json()["checks"]
    assert {name: check["ok"] for name, check in checks.items()} == {
        "database": True,
        "sweeper": False,
        "enrich workers": False,
        "gpu workers": False,
    }
    assert checks["gpu workers"]["detail"] == "no GPU worker is running"
    with service.db.write() as tx:
        jobs.create(tx, job_spec("encode"), [NewPart(kind="encode", queue="gpu")])
    checks = service.http.get("/readyz").json()["checks"]
    assert checks["gpu workers"]["detail"] == "no GPU worker is running; 1 part of jobs waits for one"
    assert checks["enrich workers"]["detail"] == "no enrich worker is running"
    with service.db.write() as tx:
        for role in ("sweeper", "enrich", "gpu"):
            heartbeats.record(tx, name=role, role=role)
    response = service.http.get("/readyz")
    assert (response.status_code, response.json()["status"]) == (200, "ready")


def test_chosen_checks(service: Service) -> None:
    response = service.http.get("/readyz?checks=database")
    assert (response.status_code, set(response.json()["checks"])) == (200, {"database"})
    response = service.http.get("/readyz", params={"checks": "database,gpu workers,redis,keys"})
    assert (response.status_code, set(response.json()["checks"])) == (503, {"database", "gpu workers"})
    response = service.http.get("/readyz?checks=databse")
    assert (response.status_code, response.json()["errors"][0]["parameter"]) == (422, "checks")


def test_readiness_without_redis_responds_at_once(make_service: Callable[..., Service]) -> None:
    response = make_service(redis_url="redis://:hushhush@127.0.0.1:1/0").http.get("/readyz")
    assert response.status_code == 503
    assert response.json()["checks"]["redis"] == {"ok": False, "detail": "ConnectionError"}


@pytest.mark.slow
def test_readiness_when_redis_does_not_respond(make_service: Callable[..., Service]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # the kernel accepts the connection; no process responds
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


@pytest.mark.slow
def test_readiness_when_the_database_is_not_migrated_or_hangs(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.app.state.revision_fault = lambda: "the database is old: run limbeck db upgrade"
    assert "limbeck db upgrade" in service.http.get("/readyz").json()["checks"]["database"]["detail"]
    from api.routes import health

    monkeypatch.setattr(health, "_CHECK_TIMEOUT_S", 0.1)
    gate = threading.Event()
    num_calls = 0

    def hang() -> str:
        nonlocal num_calls
        num_calls += 1
        gate.wait(timeout=20)
        return ""

    service.app.state.revision_fault = hang
    for _ in range(3):
        response = service.http.get("/readyz")
        assert response.status_code == 503
        assert response.json()["checks"]["database"]["detail"] == "no response within 0.1 s"
        assert service.http.get("/readyz?checks=sweeper").status_code == 503
    assert num_calls == 1  # a check that hangs is not started again
    monkeypatch.setattr(health, "_CHECK_TIMEOUT_S", 20)
    gate.set()
    assert service.http.get("/readyz").json()["checks"]["database"]["ok"] is True


def test_liveness_has_no_dependencies() -> None:
    (route,) = [item for item in health_router.routes if getattr(item, "path", "") == "/healthz"]
    assert route.dependant.dependencies == []
