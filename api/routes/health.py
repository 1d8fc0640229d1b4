"""Liveness, readiness and metrics."""

import asyncio
import functools
import json
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Annotated, Literal

import anyio
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from api.auth import NO_KEY_YET, is_loopback
from api.http.dependencies import Services, ServicesDep
from api.http.problems import invalid_parameter
from api.metrics.registry import MEDIA_TYPE
from limbeck.shared.text import counted
from store.access import api_keys
from store.jobs import heartbeats, outbox

router = APIRouter(tags=["health"])

_CHECK_TIMEOUT_S = 2.0
_REDIS_TIMEOUT_S = 0.5
_WORKERS = {"sweeper": "sweeper", "enrich workers": "enrich worker", "gpu workers": "GPU worker"}
_ROLES = {"sweeper": "sweeper", "enrich workers": "enrich", "gpu workers": "gpu"}
CHECKS = ("database", "keys", "redis", *_WORKERS)


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


Checks = Annotated[
    str | None,
    Query(description=f"Only these checks, separated by commas: {', '.join(CHECKS)}. All by default.", max_length=100),
]


@router.get(
    "/readyz", response_model=ReadinessOut, responses={503: {"model": ReadinessOut, "description": "A check is not ok"}}
)
async def readyz(request: Request, services: ServicesDep, checks: Checks = None) -> Response:
    """Readiness: the database is at the newest revision, Redis responds, a sweeper and workers are alive. A service
    that is reachable from other machines also needs a key. Needs no key itself."""
    chosen = _chosen(checks)
    background_checks: BackgroundChecks = request.app.state.background_checks
    groups: dict[str, Callable[[], dict[str, ReadinessCheckOut]]] = {}
    if chosen - {"redis"}:
        groups["database"] = functools.partial(_database, request, services)
    if services.settings.distributed and "redis" in chosen:
        groups["redis"] = functools.partial(_redis, services)
    results: dict[str, ReadinessCheckOut] = {}

    async def run(name: str) -> None:
        result = {name: ReadinessCheckOut(ok=False, detail=f"no response within {_CHECK_TIMEOUT_S:g} s")}
        with anyio.move_on_after(_CHECK_TIMEOUT_S):
            result = await asyncio.shield(asyncio.wrap_future(background_checks.submit(name, groups[name])))
        results.update(result)

    async with anyio.create_task_group() as tasks:
        for name in groups:
            tasks.start_soon(run, name)
    # A group that does not respond has one result, in its own name.
    failed = {name for name in groups if name in results and not results[name].ok}
    shown = {name: result for name, result in sorted(results.items()) if name in chosen | failed}
    ready = all(result.ok for result in shown.values())
    readiness = ReadinessOut(status="ready" if ready else "not_ready", checks=shown)
    return Response(json.dumps(readiness.model_dump()), 200 if ready else 503, media_type="application/json")


def _chosen(names: str | None) -> set[str]:
    """The checks of the parameter `checks`. Raises ProblemError for one that there is not."""
    chosen = set(CHECKS if names is None else (name.strip() for name in names.split(",")))
    for name in sorted(chosen - set(CHECKS)):
        raise invalid_parameter("checks", f"names {name!r}; the checks are {', '.join(CHECKS)}")
    return chosen


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(request: Request) -> Response:
    """Metrics of jobs, parts, processes and requests, in Prometheus' text format."""
    return Response(request.app.state.metrics.text(), media_type=MEDIA_TYPE)


def _database(request: Request, services: Services) -> dict[str, ReadinessCheckOut]:
    try:
        fault = request.app.state.revision_fault()
        with services.db.read() as tx:
            alive = heartbeats.alive(tx)
            has_key = is_loopback(services.settings.host) or api_keys.has_active_key(tx)
            missing = [role for role in _ROLES.values() if not alive.get(role)]
            waiting = outbox.count_queued(tx) if missing else {}
    except Exception as error:
        return {"database": ReadinessCheckOut(ok=False, detail=type(error).__name__)}
    checks = {"database": ReadinessCheckOut(ok=not fault, detail=fault or "at the newest revision")}
    if not is_loopback(services.settings.host):
        checks["keys"] = ReadinessCheckOut(ok=has_key, detail="there is an active key" if has_key else NO_KEY_YET)
    for name, worker in _WORKERS.items():
        count = alive.get(_ROLES[name], 0)
        checks[name] = ReadinessCheckOut(
            ok=count > 0, detail=_workers_text(worker, count, waiting.get(_ROLES[name], 0))
        )
    return checks


def _workers_text(worker: str, count: int, waiting: int) -> str:
    if count:
        return f"{count} with a heartbeat in the last {heartbeats.FRESH_S:g} s"
    waits = f"; {counted(waiting, 'part')} of jobs {'waits' if waiting == 1 else 'wait'} for one" if waiting else ""
    return f"no {worker} is running{waits}"


def _redis(services: Services) -> dict[str, ReadinessCheckOut]:
    import redis  # imported late: it is slow to load, and only the distributed mode needs it

    try:
        url = services.settings.broker
        with redis.Redis.from_url(
            url, socket_connect_timeout=_REDIS_TIMEOUT_S, socket_timeout=_REDIS_TIMEOUT_S
        ) as client:
            client.ping()
    except (redis.RedisError, OSError) as error:
        return {"redis": ReadinessCheckOut(ok=False, detail=type(error).__name__)}
    return {"redis": ReadinessCheckOut(ok=True, detail="responds")}
