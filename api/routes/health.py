"""Liveness, readiness and metrics."""

import asyncio
import functools
import json
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Literal

import anyio
from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from api.http.dependencies import Services, ServicesDep
from api.metrics.registry import MEDIA_TYPE
from store.jobs import heartbeats

router = APIRouter(tags=["health"])

_CHECK_TIMEOUT_S = 2.0
_REDIS_TIMEOUT_S = 0.5


class LivenessOut(BaseModel):
    """The process is running."""

    status: Literal["ok"] = "ok"


class ReadinessCheckOut(BaseModel):
    """The state of one dependency of the service."""

    ok: bool
    detail: str


class ReadinessOut(BaseModel):
    """Whether all checks are ok. Jobs can be created whenever the check `database` is ok."""

    status: Literal["ready", "not_ready"]
    checks: dict[str, ReadinessCheckOut]


class BackgroundChecks:
    """Runs checks that may hang, each in a daemon thread. While a check hangs, it is not started again."""

    def __init__(self) -> None:
        self._running: dict[str, Future[dict[str, ReadinessCheckOut]]] = {}
        self._lock = threading.Lock()

    def submit(
        self, name: str, check: Callable[[], dict[str, ReadinessCheckOut]]
    ) -> Future[dict[str, ReadinessCheckOut]]:
        """The result of the running check of this name, or of a new run if none is running."""
        with self._lock:
            running = self._running.get(name)
            if running is None or running.done():
                running = self._running[name] = Future()
                threading.Thread(target=_run, args=(running, check), daemon=True).start()
            return running


def _run(future: Future[dict[str, ReadinessCheckOut]], check: Callable[[], dict[str, ReadinessCheckOut]]) -> None:
    try:
        future.set_result(check())
    except BaseException as error:
        future.set_exception(error)


@router.get("/healthz")
async def healthz() -> LivenessOut:
    """Liveness: whether the process is running. Needs no key."""
    return LivenessOut()


@router.get(
    "/readyz", response_model=ReadinessOut, responses={503: {"model": ReadinessOut, "description": "A check is not ok"}}
)
async def readyz(request: Request, services: ServicesDep) -> Response:
    """Readiness: the database is at the newest revision, Redis responds, a sweeper and workers are alive."""
    background_checks: BackgroundChecks = request.app.state.background_checks
    checks: dict[str, Callable[[], dict[str, ReadinessCheckOut]]] = {
        "database": functools.partial(_database, request, services)
    }
    if services.settings.distributed:
        checks["redis"] = functools.partial(_redis, services)
    results: dict[str, ReadinessCheckOut] = {}

    async def run(name: str) -> None:
        result = {name: ReadinessCheckOut(ok=False, detail=f"no response within {_CHECK_TIMEOUT_S:g} s")}
        with anyio.move_on_after(_CHECK_TIMEOUT_S):
            result = await asyncio.shield(asyncio.wrap_future(background_checks.submit(name, checks[name])))
        results.update(result)

    async with anyio.create_task_group() as tasks:
        for name in checks:
            tasks.start_soon(run, name)
    ready = all(result.ok for result in results.values())
    readiness = ReadinessOut(status="ready" if ready else "not_ready", checks=dict(sorted(results.items())))
    return Response(json.dumps(readiness.model_dump()), 200 if ready else 503, media_type="application/json")


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(request: Request) -> Response:
    """Metrics of jobs, parts, processes and requests, in Prometheus' text format."""
    return Response(request.app.state.metrics.text(), media_type=MEDIA_TYPE)


def _database(request: Request, services: Services) -> dict[str, ReadinessCheckOut]:
    try:
        current = request.app.state.is_current()
        with services.db.read() as tx:
            alive = heartbeats.alive(tx)
    except Exception as error:
        return {"database": ReadinessCheckOut(ok=False, detail=type(error).__name__)}
    detail = "at the newest revision" if current else "not at the newest revision: run limbeck db upgrade"
    checks = {"database": ReadinessCheckOut(ok=current, detail=detail)}
    for role, name in (("sweeper", "sweeper"), ("enrich", "enrich workers"), ("gpu", "gpu workers")):
        count = alive.get(role, 0)
        checks[name] = ReadinessCheckOut(
            ok=count > 0, detail=f"{count} with a heartbeat in the last {heartbeats.FRESH_S:g} s"
        )
    return checks


def _redis(services: Services) -> dict[str, ReadinessCheckOut]:
    import redis  # imported late: it is slow to load, and only the distributed mode needs it

    try:
        url = services.settings.redis_url.get_secret_value()
        with redis.Redis.from_url(
            url, socket_connect_timeout=_REDIS_TIMEOUT_S, socket_timeout=_REDIS_TIMEOUT_S
        ) as client:
            client.ping()
    except (redis.RedisError, OSError) as error:
        return {"redis": ReadinessCheckOut(ok=False, detail=type(error).__name__)}
    return {"redis": ReadinessCheckOut(ok=True, detail="responds")}
