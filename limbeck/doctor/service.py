"""Checks of a service at a URL: what a client sees of its version, its readiness, its clock, and whether it accepts the
key."""

import os
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from limbeck.doctor.diagnosis import Diagnosis, failed, ok, warning
from limbeck.shared.parts import VERSION_HEADER, installed_version

if TYPE_CHECKING:
    import httpx2

_TIMEOUT_S = 8.0
_MAX_SKEW_S = 30.0
_READY_REMEDIES = {
    "database": "see the log of the service and of the database",
    "redis": "start Redis; jobs wait meanwhile and are not lost",
    "sweeper": "start the sweeper",
    "enrich workers": "start a worker of the queue enrich",
    "gpu workers": "start a worker of the queue gpu",
}


def check_service(url: str) -> Iterator[Diagnosis]:
    """Requests to the service. The first one needs no key."""
    import httpx2

    from limbeck.client.environment import api_key
    from limbeck.client.responses import parse_url, uses_proxy
    from limbeck.errors import Unreachable

    try:
        address = parse_url(url)
    except Unreachable as error:
        yield failed("service", str(error), "correct --url or LIMBECK_URL")
        return
    key = api_key(None)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx2.Client(base_url=address, headers=headers, timeout=_TIMEOUT_S, trust_env=uses_proxy(address)) as client:
        began, before = time.monotonic(), time.time()
        try:
            alive = client.get("/healthz")
        except httpx2.HTTPError as error:
            detail = f"{address} does not respond: {type(error).__name__}"
            yield failed("service", detail, "start it (limbeck serve), or correct --url, LIMBECK_URL and the proxy")
            return
        if alive.status_code != 200:
            detail = f"{address} answers {alive.status_code}: it is no Limbeck service, or it cannot work"
            yield failed("service", detail, "correct --url, or see the log of the service")
            return
        yield ok("service", f"{address} responds in {(time.monotonic() - began) * 1000:.0f} ms")
        yield _version(alive.headers.get(VERSION_HEADER))
        yield _clock(alive.headers.get("date"), before)
        yield from _key(client, bool(key))


def _version(service: str | None) -> Diagnosis:
    client = installed_version()
    if service is None:
        return ok("version", f"client {client}; the service does not say its version")
    if service == client:
        return ok("version", f"client and service {client}")
    return warning("version", f"client {client}, service {service}", f"install the client of version {service}")


def _clock(date: str | None, before: float) -> Diagnosis:
    if date is None:
        return ok("clock", "the service does not say its time")
    skew = parsedate_to_datetime(date).timestamp() - before  # whole seconds
    detail = f"within {abs(skew):.0f} s of the service's" if abs(skew) < 2 else f"{abs(skew):.0f} s from the service's"
    if abs(skew) <= _MAX_SKEW_S:
        return ok("clock", detail)
    return warning("clock", detail, "synchronise the clocks (NTP): times in lists are those of the service")


def _key(client: "httpx2.Client", has_key: bool) -> Iterator[Diagnosis]:
    answer = client.get("/v1/jobs", params={"limit": 1})
    if answer.status_code in (401, 403):
        reason = "the key is unknown, expired or revoked" if has_key else "the service needs a key"
        remedy = "set LIMBECK_KEY to the secret that `limbeck key create --name NAME` prints on the service's machine"
        yield failed("key", reason if answer.status_code == 401 else _detail(answer), remedy)
        return
    if answer.status_code != 200:
        yield failed("key", f"GET /v1/jobs answers {answer.status_code}: {_detail(answer)}", "see the service's log")
        return
    yield ok("key", "LIMBECK_KEY is accepted" if has_key else "none needed from this machine")
    ready = client.get("/readyz")
    checks = ready.json().get("checks", {}) if ready.status_code in (200, 503) else {}
    for name, check in checks.items():
        detail = str(check.get("detail", ""))
        if check.get("ok"):
            yield ok(name, detail)
        else:
            yield failed(name, detail, _READY_REMEDIES.get(name, "see the log of the service"))


def _detail(answer: "httpx2.Response") -> str:
    try:
        return str(answer.json().get("detail", ""))
    except (ValueError, AttributeError):
        return answer.reason_phrase


def check_client_settings() -> Iterator[Diagnosis]:
    """Whether a variable is almost LIMBECK_URL or LIMBECK_KEY."""
    from limbeck.client.environment import unknown_client_settings

    unknown = unknown_client_settings(os.environ)
    if unknown:
        yield warning("settings", "; ".join(unknown), "correct the names, or unset these variables")
    else:
        given = [name for name in ("LIMBECK_URL", "LIMBECK_KEY") if os.environ.get(name)]
        yield ok("settings", f"{' and '.join(given)} set" if given else "neither LIMBECK_URL nor LIMBECK_KEY is set")
