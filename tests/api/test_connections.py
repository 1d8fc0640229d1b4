"""Half-open connections neither stay nor keep others out."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from api.connections import LimitedConnections

_REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return
    if scope["path"] == "/slow":
        await asyncio.sleep(1.0)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def _served(limits: LimitedConnections) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(_app, http=limits.protocol(), log_level="error", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join()


def _connect(port: int, stack: ExitStack, first: bytes = b"") -> socket.socket:
    connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
    connection.sendall(first)
    return connection


def _response(connection: socket.socket) -> bytes:
    received = b""
    while not received.endswith(b"ok") and (more := connection.recv(4096)):
        received += more
    return received


@pytest.mark.parametrize("part", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n"], ids=["nothing", "half a head"])
def test_a_connection_without_a_whole_head_is_closed(part: bytes) -> None:
    limits = LimitedConnections(header_timeout_s=0.3, max_connections=100)
    with _served(limits) as port, ExitStack() as stack:
        half_open = _connect(port, stack, part)
        assert half_open.recv(1) == b""
        assert limits.waiting == {}


def test_the_second_request_of_a_connection_has_its_own_time() -> None:
    limits = LimitedConnections(header_timeout_s=0.3, max_connections=100)
    with _served(limits) as port, ExitStack() as stack:
        connection = _connect(port, stack, _REQUEST)
        assert _response(connection).endswith(b"ok")
        time.sleep(0.5)  # longer than the time of a head: an idle connection is left to uvicorn's keep-alive
        connection.sendall(_REQUEST)
        assert _response(connection).endswith(b"ok")
        connection.sendall(_REQUEST[:10])
        assert connection.recv(1) == b""


def test_new_connections_replace_the_oldest_that_wait() -> None:
    limits = LimitedConnections(header_timeout_s=60, max_connections=16)
    with _served(limits) as port, ExitStack() as stack:
        busy = _connect(port, stack, b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        half_open = [_connect(port, stack, _REQUEST[:10]) for _ in range(60)]
        assert _response(_connect(port, stack, _REQUEST)).endswith(b"ok")
        assert half_open[0].recv(1) == b""
        assert _response(busy).endswith(b"ok")
        assert len(limits.waiting) <= 16
