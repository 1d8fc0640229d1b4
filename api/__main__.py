"""Serve the API alone: `python -m api`, with the settings of the environment. Workers are started apart.

`python -m api --fd N` serves on a socket that it inherits, as `limbeck serve` has it: the parent keeps the socket open,
so that clients wait for a moment and are not refused while this process is started again.
"""

import argparse
import contextlib
import gc
import socket

import uvicorn

from api.app import create_app
from store.settings import Settings


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What has been loaded stays. Left to the collector, it would be gone through again and again, and every request
        # would wait for a tenth of a second meanwhile.
        gc.collect()
        gc.freeze()


def serve(settings: Settings, listening: socket.socket | None = None) -> None:
    """Serve until SIGTERM or SIGINT, on the socket given or else on the settings' host and port.

    Lines of event streams are cut after a moment, and come again by themselves.
    """
    config = uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=3,
    )
    with contextlib.suppress(KeyboardInterrupt):
        _Server(config).run(sockets=[listening] if listening else None)


def main() -> None:
    """Serve with the settings of the environment."""
    parser = argparse.ArgumentParser(prog="python -m api", description="Serve the API alone.")
    parser.add_argument("--fd", type=int, help="a listening socket's file descriptor, in place of host and port")
    fd = parser.parse_args().fd
    serve(Settings(), socket.socket(fileno=fd) if fd is not None else None)


if __name__ == "__main__":
    main()
