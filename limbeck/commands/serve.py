"""`limbeck serve`: the service on this machine, alone (embedded) or as one API of many (distributed)."""

import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

import typer

from limbeck.commands.common import Failed, database, settings

if TYPE_CHECKING:
    from store.settings import Settings


def serve() -> None:
    """Run the service. Settings are LIMBECK_* variables; without any it is embedded, below ./.limbeck.

    Embedded, the database is brought up to date, and an API and a worker process are kept running. With
    LIMBECK_REDIS_URL set this is the API alone, and Celery runs the workers.
    """
    from api.auth import is_loopback

    chosen = settings()
    if not is_loopback(chosen.host):
        _require_a_key(chosen)
    if chosen.distributed:
        from api.__main__ import serve as serve_api

        _tell(chosen, chosen.port)
        serve_api(chosen)
    else:
        _embedded(chosen)


def _require_a_key(chosen: "Settings") -> None:
    from store import keys

    with database() as db, db.read() as tx:
        if not keys.any_live(tx):
            raise Failed(
                f"LIMBECK_HOST={chosen.host} can be reached from other machines and there is no live key: "
                "make one with limbeck key create --name NAME, or bind to 127.0.0.1"
            )


def _embedded(chosen: "Settings") -> None:
    from limbeck.supervisor import Supervisor

    with database():
        pass
    chosen.data.mkdir(parents=True, exist_ok=True)
    listening = _listen(chosen)
    port = listening.getsockname()[1]
    env = {**os.environ, "LIMBECK_PORT": str(port), "LIMBECK_HOME": str(chosen.home)}
    commands = {
        "API": [sys.executable, "-m", "api", "--fd", str(listening.fileno())],
        "worker": [sys.executable, "-m", "workers.embedded"],
    }
    supervisor = Supervisor(
        commands, env=env, pass_fds=[listening.fileno()], say=lambda line: typer.echo(f"limbeck: {line}", err=True)
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    _tell(chosen, port)
    with listening:
        supervisor.run()
    typer.echo("Stopped; queued and unfinished jobs go on with the next start.")


def _listen(chosen: "Settings") -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(chosen.host, chosen.port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        raise Failed(f"cannot listen on {chosen.host}:{chosen.port}: {error.strerror}") from None


def _tell(chosen: "Settings", port: int) -> None:
    host = f"[{chosen.host}]" if ":" in chosen.host else chosen.host
    typer.echo(f"Limbeck serves at http://{host}:{port} (its API: /docs)")
    typer.echo(f"  images below {chosen.data}")
    if not chosen.distributed:
        typer.echo(f"  everything it makes in {chosen.home}")
    if not chosen.llm_model:
        typer.echo("  no LLM yet: set LIMBECK_LLM_MODEL, LIMBECK_LLM_BASE_URL and LIMBECK_LLM_API_KEY to enrich labels")
    sys.stdout.flush()
