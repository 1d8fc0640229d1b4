"""`limbeck serve`: run the service on this machine, complete (embedded) or as one API process (distributed)."""

import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.commands.common import BadInput, CommandFailed, database, settings
from limbeck.shared.parts import exit_if_logger_not_installed, install_command, is_installed

if TYPE_CHECKING:
    from store.settings import Settings


def serve(
    field_guide: Annotated[
        bool,
        typer.Option("--field-guide", help="Offer the field guide on the start page: an example with its own LLM."),
    ] = False,
) -> None:
    """Run the service. Settings are LIMBECK_* variables; by default it is embedded, in the folder ./.limbeck.

    Embedded: the database is upgraded, and an API and a worker process are supervised. With LIMBECK_REDIS_URL set, only
    the API runs here, and Celery runs the workers.

        export LIMBECK_LLM_BASE_URL=http://127.0.0.1:11434/v1 LIMBECK_LLM_MODEL=qwen3
        limbeck serve
        limbeck serve --field-guide     an example that needs no LLM, from a checkout
    """
    from api import transport_security
    from api.auth import is_loopback
    from store.errors import SettingInvalid

    config = settings()
    llm_of_guide = None
    if field_guide:
        from limbeck.commands.field_guide import set_up

        llm_of_guide = set_up(config)
        config = settings()
    _check_endpoints(config)
    try:
        transport_security.check_certificate(config)
        transport_security.trusted_proxies(config)
    except SettingInvalid as error:
        raise BadInput(str(error)) from None
    if not is_loopback(config.host):
        _warn_without_key(config)
    if config.distributed:
        from api.server import serve as serve_api

        with database(config=config):
            pass
        _print_banner(config, config.port)
        serve_api(config)
    else:
        _embedded(config, llm_of_guide)


def _check_endpoints(config: "Settings") -> None:
    """Raises BadInput if a setting of the LLM, the endpoints file or the price file is invalid.

    Embedded, this machine also makes the calls: what keeps `default` from doing so is invalid too, and other endpoints
    that cannot are printed.
    """
    from attributes.endpoints.endpoint import DEFAULT_ENDPOINT, EndpointError
    from attributes.endpoints.endpoints import Endpoints
    from attributes.llm.costs.prices import PriceError

    try:
        endpoints = Endpoints.load(config)
    except (EndpointError, PriceError) as error:
        raise BadInput(str(error)) from None
    for name, fault in endpoints.faults().items() if not config.distributed else ():
        if name == DEFAULT_ENDPOINT:
            raise BadInput(fault)
        typer.echo(f"limbeck: {fault}", err=True)


def _warn_without_key(config: "Settings") -> None:
    """Print that the service waits for its first key: it responds with 503 until there is one."""
    from store.access import api_keys

    with database(config=config) as db, db.read() as tx:
        if not api_keys.has_active_key(tx):
            typer.echo(
                f"limbeck: LIMBECK_HOST={config.host} is reachable from other machines, and there is no active key: "
                "requests are refused until limbeck key create --name NAME has created one",
                err=True,
            )


def _embedded(config: "Settings", llm_of_guide: list[str] | None) -> None:
    from limbeck.supervisor import Supervisor

    exit_if_logger_not_installed(config.loggers, "limbeck serve")
    with database(config=config):
        pass
    config.data.mkdir(parents=True, exist_ok=True)
    server_socket = _listen(config)
    port = server_socket.getsockname()[1]
    env = {**_known_environment(config), "LIMBECK_PORT": str(port), "LIMBECK_HOME": str(config.home)}
    commands = {
        "API": [sys.executable, "-m", "api", "--fd", str(server_socket.fileno())],
        "worker": [sys.executable, "-m", "workers.embedded"],
    }
    if llm_of_guide is not None:
        commands["field guide"] = llm_of_guide
    supervisor = Supervisor(
        commands, env=env, pass_fds=[server_socket.fileno()], log=lambda line: typer.echo(f"limbeck: {line}", err=True)
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    _print_banner(config, port)
    with server_socket:
        supervisor.run()
    typer.echo("Stopped; queued and unfinished jobs continue at the next start.")


def _known_environment(config: "Settings") -> dict[str, str]:
    """The environment without the unknown settings, which were named already and would be named again."""
    from store.settings import unknown_settings

    unknown = unknown_settings(os.environ, config.llm_endpoints)
    return {name: value for name, value in os.environ.items() if name not in unknown}


def _listen(config: "Settings") -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        raise CommandFailed(f"cannot listen on {config.host}:{config.port}: {error.strerror}") from None


def _print_banner(config: "Settings", port: int) -> None:
    host = f"[{config.host}]" if ":" in config.host else config.host
    scheme = "http" if config.tls_cert is None else "https"
    typer.echo(f"Limbeck runs at {scheme}://{host}:{port} (API documentation: /docs)")
    typer.echo(f"  images: {config.data}")
    if not config.distributed:
        typer.echo(f"  database and artefacts: {config.home}")
    if not config.llm_model and config.llm_endpoints is None:
        typer.echo("  no LLM: set LIMBECK_LLM_MODEL, LIMBECK_LLM_BASE_URL and LIMBECK_LLM_API_KEY to enrich labels")
    if not config.distributed and not is_installed("gpu"):
        typer.echo(f"  no GPU part, so jobs with a teacher or a student wait; install it: {install_command('gpu')}")
    sys.stdout.flush()
