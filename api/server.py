"""The HTTP server of the API, without workers."""

import contextlib
import gc
import socket
import threading

import uvicorn

from api import transport_security
from api.app import create_app
from api.connections import LimitedConnections, raise_file_limit
from api.tracing import instrument
from limbeck.shared.tracing import spans
from store.db import Database
from store.settings import Settings


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # Exclude the loaded modules from garbage collection. Otherwise every full collection scans them, and requests
        # wait for about 0.1 s.
        gc.collect()
        gc.freeze()
        # The description of the API takes a second or two, for which the first reader of /docs would wait.
        threading.Thread(target=self.config.app.openapi, daemon=True).start()  # type: ignore[union-attr]


def serve(settings: Settings, listening: socket.socket | None = None, database: Database | None = None) -> None:
    """Serve until SIGTERM or SIGINT, on the socket `listening` or, if it is None, on the settings' host and port.

    A shutdown closes event streams after 3 s; their clients reconnect. Raises SettingInvalid for an unusable
    certificate.
    """
    transport_security.warn_of_plain_text(settings)
    spans.start("limbeck-api")
    raise_file_limit(settings.max_connections)
    config = server_config(settings, database)
    with contextlib.suppress(KeyboardInterrupt):
        _Server(config).run(sockets=[listening] if listening else None)


def server_config(settings: Settings, database: Database | None = None) -> uvicorn.Config:
    """uvicorn with the app and the settings. Raises SettingInvalid."""
    transport_security.check_certificate(settings)
    proxies = transport_security.trusted_proxies(settings)
    limits = LimitedConnections(header_timeout_s=settings.header_timeout_s, max_connections=settings.max_connections)
    app = create_app(settings, database)
    instrument(app)
    return uvicorn.Config(
        app,
        http=limits.protocol(),
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_level="warning",
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        server_header=False,
        timeout_graceful_shutdown=3,
    )
