"""Limits of connections: a time for the head of a request, and a maximum number.

uvicorn waits without end for the head of a request, so that a thousand clients that send half a line would take all
file descriptors. Here such a connection is closed after `header_timeout_s`. Above `max_connections`, the connection
that has waited longest for a request makes room for a new one. A connection with a request in progress is never closed.
"""

import asyncio
import resource

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_SPARE_FILES = 512
"""Descriptors for the database, artefacts and modules, beside those of connections."""


class LimitedConnections:
    """The connections of one server that wait for a request, oldest first."""

    def __init__(self, *, header_timeout_s: float, max_connections: int) -> None:
        self.header_timeout_s = header_timeout_s
        self.max_connections = max_connections
        self.waiting: dict[LimitedProtocol, None] = {}

    def protocol(self) -> "type[LimitedProtocol]":
        """The protocol class for `uvicorn.Config(http=…)`."""
        return type("Protocol", (LimitedProtocol,), {"limits": self})


class LimitedProtocol(HttpToolsProtocol):
    """An HTTP/1.1 connection of uvicorn within `limits`."""

    limits: LimitedConnections
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._wait()
        if len(self.connections) > self.limits.max_connections:
            next(iter(self.limits.waiting)).transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Receive a part of a request; the time for its head runs from its first byte."""
        if self._timer is None and (self.cycle is None or self.cycle.response_complete):
            self._wait()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """The head is complete: the request begins."""
        self._stop_waiting()
        super().on_headers_complete()

    def _wait(self) -> None:
        self.limits.waiting[self] = None
        self._timer = self.loop.call_later(self.limits.header_timeout_s, self.transport.close)

    def _stop_waiting(self) -> None:
        self.limits.waiting.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def raise_file_limit(max_connections: int) -> None:
    """Raise the limit of open files of this process, as far as it may, to what the connections need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = max_connections + _SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
