"""The API as a process: `python -m limbeck.api_process [--fd N]` serves on a socket it was handed, else on its own.

`limbeck serve` opens the socket and keeps it, so that clients wait for a moment and are not refused while this
process is started again.
"""

import argparse
import socket
import sys

import uvicorn

from store.settings import Settings


def serve(listening: socket.socket | None, settings: Settings) -> None:
    """Answer requests until SIGTERM or SIGINT."""
    config = uvicorn.Config(
        "api.app:create_app", factory=True, host=settings.host, port=settings.port,
        # Who asks is judged by the connection itself, never by a header that anyone can write.
        proxy_headers=False, server_header=False, access_log=False, log_level="warning", timeout_graceful_shutdown=10,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listening] if listening else None)


def main() -> int:
    parser = argparse.ArgumentParser(description="Serve the API.")
    parser.add_argument("--fd", type=int, help="a listening socket, inherited from the parent")
    arguments = parser.parse_args()
    serve(None if arguments.fd is None else socket.socket(fileno=arguments.fd), Settings())
    return 0


if __name__ == "__main__":
    sys.exit(main())
