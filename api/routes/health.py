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

from api.http.dependencies import Services, Use
from api.metrics import MEDIA_TYPE
from store.jobs import heartbeats

router = APIRouter(tags=["health"])

_PATIENCE_S = 2.0
_PING_S = 0.5


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Check(BaseModel):
    """One thing that the service needs."""

    ok: bool
    detail: str


class Ready(BaseModel):
    """Ready where every check is ok; 503 where one is not. Jobs may be posted whenever the database is."""

    status: Literal["ready", "not_ready"]
    checks: dict[str, Check]


class Probes:
    """Checks that may hang, each in a thread that ends with the process; while one hangs, no other is begun."""

    def __init__(self) -> None:
        self._running: dict[str, Future[dict[str, Check]]] = {}
        self._lock = threading.Lock()

    def ask(self, name: str, check: Callable[[], dict[str, Check]]) -> Future[dict[str, Check]]:
        """The answer of the check that is under way, or else of one begun now."""
        with self._lock:
            running = self._running.get(name)
            if running is None or running.done():
                running = self._running[name] = Future()
                threading.Thread(target=_answer, args=(running, check), daemon=True).start()
            return running


def _answer(future: Future[dict[str, Check]], check: Callable[[], dict[str, Check]]) -> None:
    try:
        future.set_result(check())
    except BaseException as error:
        future.set_exception(error)


@router.get("/healthz")
async def healthz() -> Alive:
    """Whether the process lives. Needs no key."""
    return Alive()


@router.get("/readyz", response_model=Ready, responses={503: {"model": Ready, "description": "A check is not ok"}})
async def readyz(request: Request, use: Use) -> Response:
    """Whether the database stands at the newest revision, and a sweeper, workers and the broker answer."""
    probes: Probes = request.app.state.probes
    asked: dict[str, Callable[[], dict[str, Check]]] = {"database": functools.partial(_database, request, use)}
    if use.settings.distributed:
        asked["redis"] = functools.partial(_redis, use)
    checks: dict[str, Check] = {}

    async def ask(name: str) -> None:
        found = {name: Check(ok=False, detail=f"no answer within {_PATIENCE_S:g} s")}
        with anyio.move_on_after(_PATIENCE_S):
            found = await asyncio.shield(asyncio.wrap_future(probes.ask(name, asked[name])))
        checks.update(found)

    async with anyio.create_task_group() as tasks:
        for name in asked:
            tasks.start_soon(ask, name)
    ready = all(check.ok for check in checks.values())
    answer = Ready(status="ready" if ready else "not_ready", checks=dict(sorted(checks.items())))
    return Response(json.dumps(answer.model_dump()), 200 if ready else 503, media_type="application/json")


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(request: Request) -> Response:
    """Jobs, parts, processes and latencies, for Prometheus."""
    return Response(request.app.state.metrics.text(), media_type=MEDIA_TYPE)


def _database(request: Request, use: Services) -> dict[str, Check]:
    try:
        current = request.app.state.is_current()
        with use.db.read() as tx:
            alive = heartbeats.alive(tx)
    except Exception as error:
        return {"database": Check(ok=False, detail=type(error).__name__)}
    detail = "at the newest revision" if current else "not at the newest revision: run limbeck db upgrade"
    checks = {"database": Check(ok=current, detail=detail)}
    for role, name in (("sweeper", "sweeper"), ("enrich", "enrich workers"), ("gpu", "gpu workers")):
        count = alive.get(role, 0)
        checks[name] = Check(ok=count > 0, detail=f"{count} seen in the last {heartbeats.FRESH_S:g} s")
    return checks


def _redis(use: Services) -> dict[str, Check]:
    import redis  # only where there is one: it takes its time to load

    try:
        url = use.settings.redis_url.get_secret_value()
        with redis.Redis.from_url(url, socket_connect_timeout=_PING_S, socket_timeout=_PING_S) as client:
            client.ping()
    except (redis.RedisError, OSError) as error:
        return {"redis": Check(ok=False, detail=type(error).__name__)}
    return {"redis": Check(ok=True, detail="answers")}
