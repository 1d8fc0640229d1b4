"""The API as a child of `limbeck serve`: `python -m limbeck.api_process --fd N` serves on a socket that it was handed.

The parent keeps the socket open, so that clients wait for a moment and are not refused while this process is started
again.
"""

import argparse
import socket

import uvicorn

from api.app import create_app
from store.settings import Settings


def main() -> None:
    """Answer requests until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="Serve the API on an inherited socket.")
    parser.add_argument("--fd", type=int, required=True, help="the listening socket's file descriptor")
    listening = socket.socket(fileno=parser.parse_args().fd)
    config = uvicorn.Config(
        create_app(Settings()), access_log=False, log_level="warning", proxy_headers=False, server_header=False,
        timeout_graceful_shutdown=3,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
