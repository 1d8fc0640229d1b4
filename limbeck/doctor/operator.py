"""Checks of what the settings name: the database, the queue, the workers, the LLM servers, and the clocks."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from limbeck.doctor.diagnosis import Diagnosis, failed, ok, warning
from limbeck.shared.parts import install_command, is_installed
from limbeck.shared.text import counted

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from attributes.endpoints.endpoints import Endpoints
    from store.db import Database
    from store.settings import Settings

_REDIS_TIMEOUT_S = 3.0
_SKEW_S, _MAX_SKEW_S = 2.0, 20.0  # a heartbeat counts for 30 s, by the clock of the machine that sent it
_LLM_REMEDIES = {
    "401": "correct the key: LIMBECK_LLM_API_KEY, or the variable that the endpoints file names",
    "403": "correct the key: LIMBECK_LLM_API_KEY, or the variable that the endpoints file names",
    "404": "compare the base URL with the server's documentation: it often ends in /v1",
}
_WORKERS = {
    "sweeper": "python -m workers.sweeper",
    "enrich": "celery -A workers.app worker -Q enrich -c 4",
    "gpu": "celery -A workers.app worker -Q gpu -c 1",
}


def check_database(config: "Settings") -> Iterator[Diagnosis]:
    """Whether the database responds and is migrated; which workers are alive; and the clock of its server."""
    from store.db import Database
    from store.errors import DatabaseUnusable, SettingInvalid

    try:
        db = Database(config.database) if _exists(config) else None
    except (SettingInvalid, DatabaseUnusable) as error:
        yield failed("database", str(error), "correct LIMBECK_DATABASE_URL")
        return
    if db is None:
        detail = f"SQLite in {config.home}: not created yet"
        yield warning("database", detail, "limbeck serve creates it, or limbeck db upgrade")
        return
    try:
        yield from _of_database(config, db)
    finally:
        db.dispose()


def _exists(config: "Settings") -> bool:
    """Whether the database is there; a new SQLite file must not be created by a check."""
    return bool(config.database_url) or (config.home / "limbeck.db").exists()


def _of_database(config: "Settings", db: "Database") -> Iterator[Diagnosis]:
    from sqlalchemy import text

    from store import migrate
    from store.db import database_errors
    from store.errors import DatabaseUnusable

    try:
        with database_errors(), db.reader.connect() as connection:
            began = time.monotonic()
            connection.execute(text("select 1"))
            took_s = time.monotonic() - began
            revision = migrate.revision_of(db)
    except DatabaseUnusable as error:
        yield failed("database", str(error), "start the server, or correct LIMBECK_DATABASE_URL")
        return
    shown = db.url.render_as_string(hide_password=True)
    yield ok("database", f"{shown} responds in {took_s * 1000:.0f} ms")
    if revision.fault:
        detail, _, remedy = revision.fault.rpartition(": ")
        yield failed("migrations", detail, remedy)
        return
    yield ok("migrations", f"at the newest revision ({revision.current})")
    with db.read() as tx:
        yield from _workers(config, tx)
        yield _clock(db, tx)


def _workers(config: "Settings", tx: "Session") -> Iterator[Diagnosis]:
    from store.jobs import heartbeats, outbox

    alive, waiting = heartbeats.alive(tx), outbox.count_queued(tx)
    if not alive:
        remedy = "start the sweeper and the workers" if config.distributed else "start it: limbeck serve"
        queued = f"; {counted(sum(waiting.values()), 'part')} queued" if waiting else ""
        found = failed if config.distributed else warning
        yield found("workers", f"no worker or sweeper is running{queued}", remedy)
        return
    for role, command in _WORKERS.items():
        yield _role(config, role, alive.get(role, 0), waiting.get(role, 0), command)


def _role(config: "Settings", role: str, alive: int, waiting: int, command: str) -> Diagnosis:
    name = "sweeper" if role == "sweeper" else f"{role} workers"
    queued = "" if role == "sweeper" else f"; {counted(waiting, 'part')} queued"
    if alive:
        return ok(name, f"{alive} alive{queued}")
    if config.distributed:
        return failed(name, f"none alive{queued}", f"start one: {command}")
    if role == "gpu" and not is_installed("gpu"):
        return warning(name, f"none alive{queued}", f"install the GPU part: {install_command('gpu')}")
    return warning(name, f"none alive{queued}", "start the service again: limbeck serve")


def _clock(db: "Database", tx: "Session") -> Diagnosis:
    from sqlalchemy import select

    from store.clock import now_s

    if db.is_sqlite:
        return ok("clock", "one machine, one clock")
    before = time.time()
    server = float(tx.scalar(select(now_s())) or 0.0)
    skew = server - (before + time.time()) / 2
    detail = f"{abs(skew):.1f} s {'behind' if skew > 0 else 'ahead of'} the database's"
    remedy = "synchronise the clocks of this machine and of the database server (NTP)"
    if abs(skew) > _MAX_SKEW_S:
        return failed("clock", detail, remedy)
    return warning("clock", detail, remedy) if abs(skew) > _SKEW_S else ok("clock", detail)


def check_queue(config: "Settings") -> Iterator[Diagnosis]:
    """Whether Redis responds; without Redis the worker takes parts from the database."""
    if not config.distributed:
        yield ok("queue", "embedded: the worker takes parts from the database, without Redis")
        return
    import redis

    url = config.broker
    split = urlsplit(url)
    shown = f"{split.scheme}://{split.hostname}:{split.port or 6379}{split.path}"
    began = time.monotonic()
    try:
        with redis.Redis.from_url(
            url, socket_connect_timeout=_REDIS_TIMEOUT_S, socket_timeout=_REDIS_TIMEOUT_S
        ) as client:
            client.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        remedy = "start Redis, or correct LIMBECK_REDIS_URL; jobs wait meanwhile and are not lost"
        yield failed("queue", f"{shown} does not respond: {type(error).__name__}", remedy)
        return
    yield ok("queue", f"{shown} responds in {(time.monotonic() - began) * 1000:.0f} ms")


def check_llm(config: "Settings") -> Iterator[Diagnosis]:
    """Whether each LLM endpoint is configured, responds, accepts the key and has the model. Costs nothing."""
    from attributes.endpoints.endpoint import EndpointError
    from attributes.endpoints.endpoints import Endpoints
    from attributes.llm.costs.prices import PriceError

    try:
        endpoints = Endpoints.load(config)
    except (EndpointError, PriceError) as error:
        yield failed("llm", str(error), "correct the setting or the file that the message names")
        return
    if not config.llm_model and not config.llm_base_url and config.llm_endpoints is None:
        remedy = "set LIMBECK_LLM_MODEL, LIMBECK_LLM_BASE_URL and LIMBECK_LLM_API_KEY to enrich labels"
        yield warning("llm", "no endpoint is configured", remedy)
        return
    yield from asyncio.run(_endpoints(endpoints, endpoints.faults()))


async def _endpoints(endpoints: "Endpoints", faults: Mapping[str, str]) -> list[Diagnosis]:
    names = [endpoint.name for endpoint in endpoints if endpoint.default_model or endpoint.name in faults]
    usable = [name for name in names if name not in faults]
    remedy = "correct the setting or the file that the message names"
    found = {name: failed(f"llm {name}", fault, remedy) for name, fault in faults.items()}
    responses = await asyncio.gather(*(_endpoint(endpoints, name) for name in usable))
    found |= dict(zip(usable, responses, strict=True))
    return [found[name] for name in names]


async def _endpoint(endpoints: "Endpoints", name: str) -> Diagnosis:
    from attributes.endpoints.endpoint import DEFAULT_ENDPOINT
    from attributes.endpoints.model_list import fetch_model_list
    from attributes.llm.transport import Transport

    settings = endpoints.resolve(name, with_secrets=True).settings
    transport = Transport(settings)
    try:
        models = await fetch_model_list(transport, settings)
    finally:
        await transport.close()
    what = f"{settings.model} at {_without_user(settings.base_url)}"
    check = f"llm {name}"
    if models.is_listed:
        return ok(check, f"{what}: the server responds and lists the model")
    if models.is_listed is False:
        near = f"; similar: {', '.join(models.near)}" if models.near else ""
        where = "LIMBECK_LLM_MODEL" if name == DEFAULT_ENDPOINT else "its model in the endpoints file"
        return failed(check, f"{what}: the server does not list the model{near}", f"set {where} to one that it has")
    status = models.fault.rpartition(" ")[2]
    if "Connection" in models.fault or "Timeout" in models.fault:
        remedy = "start the LLM server, or correct LIMBECK_LLM_BASE_URL, the proxy and the CA file"
        return failed(check, f"{what}: the server does not respond ({models.fault})", remedy)
    if status in ("401", "403"):
        return failed(check, f"{what}: the server refuses the key ({models.fault})", _LLM_REMEDIES[status])
    remedy = _LLM_REMEDIES.get(status, "") or "try it with a few calls: limbeck llm probe"
    return warning(check, f"{what}: the models cannot be listed ({models.fault})", remedy)


def _without_user(url: str) -> str:
    split = urlsplit(url)
    return split._replace(netloc=split.netloc.rpartition("@")[2]).geturl()
