"""`limbeck doctor`: check the installation and its settings, or a service at a URL, and say what to do."""

import sys
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.commands.tables import AsJson, print_json

if TYPE_CHECKING:
    from limbeck.doctor.diagnosis import Check, Diagnosis

_TIMEOUT_S = 75.0
_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}


def doctor(
    url: Annotated[
        str, typer.Option("--url", envvar="LIMBECK_URL", help="Check the service at this URL, as a client sees it.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Check the installation, and say what to do about each fault.

    Without --url it checks this machine and its settings: database, migrations, queue, workers, LLM servers, GPU,
    disks, access to teachers, clock, unknown settings and versions. With --url (or LIMBECK_URL) it checks what a client
    sees of a service: whether it responds, its version, its clock, the key in LIMBECK_KEY, and its readiness.

    Exit code 1 if a check failed; warnings do not count. Nothing is changed, no call to an LLM is paid, and no secret
    is printed.

        limbeck doctor
        limbeck doctor --url ""        this machine, although LIMBECK_URL is set
        limbeck doctor --url https://limbeck.example.org
    """
    from limbeck.doctor.diagnosis import run_checks

    found = run_checks(_checks_of_service(url) if url else _checks_of_machine(), timeout_s=_TIMEOUT_S)
    failed = any(one.status == "failed" for one in found)
    if as_json:
        print_json({"ok": not failed, "checks": [one.as_json() for one in found]})
    else:
        _print(found)
    if failed:
        raise typer.Exit(1)


def _checks_of_machine() -> "Mapping[str, Check]":
    from importlib.util import find_spec

    if find_spec("store") is None:  # only the client is installed here
        from limbeck.client.environment import DEFAULT_URL

        return _checks_of_service(DEFAULT_URL)
    from limbeck.commands.common import settings
    from limbeck.doctor import machine, operator

    config = settings(warn=False)
    return {
        "versions": machine.check_versions,
        "settings": partial(machine.check_settings, config),
        "database": partial(operator.check_database, config),
        "queue": partial(operator.check_queue, config),
        "llm": partial(operator.check_llm, config),
        "disk": partial(machine.check_disk, config),
        "gpu": machine.check_gpu,
        "teachers": machine.check_teachers,
    }


def _checks_of_service(url: str) -> "Mapping[str, Check]":
    from limbeck.doctor import machine, service

    return {
        "versions": machine.check_versions,
        "settings": service.check_client_settings,
        "service": partial(service.check_service, url),
    }


def _print(found: "list[Diagnosis]") -> None:
    width = max(len(one.name) for one in found)
    for one in found:
        status = (
            typer.style(one.status.ljust(7), fg=_COLOURS[one.status]) if sys.stdout.isatty() else one.status.ljust(7)
        )
        typer.echo(f"{status}  {one.name.ljust(width)}  {one.detail}")
        if one.remedy:
            typer.echo(f"{' ' * (9 + width)}  -> {one.remedy}")
    counts = {status: sum(one.status == status for one in found) for status in _COLOURS}
    warnings = "1 warning" if counts["warning"] == 1 else f"{counts['warning']} warnings"
    typer.echo(f"{counts['ok']} ok, {warnings}, {counts['failed']} failed")
