"""Serve the API alone: `python -m api`, with the settings of the environment. Workers are started apart."""

import uvicorn

from api.app import create_app
from store.settings import Settings


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Lines of event streams are cut after a moment, and come again by themselves."""
    uvicorn.run(
        create_app(settings), host=settings.host, port=settings.port, access_log=False, log_level="warning",
        proxy_headers=False, server_header=False, timeout_graceful_shutdown=3,
    )  # fmt: skip


if __name__ == "__main__":
    serve(Settings())
