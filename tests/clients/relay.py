"""A relay of TCP connections that can break one in the middle of a response, and remembers what was asked of it."""

import asyncio
import contextlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_BLOCK = 2**16


class Relay:
    """Relays connections to a local port. `break_after` bytes of responses on one connection, it breaks that one.

    `requests`: (first line, `Range`) of each request.
    """

    def __init__(self, port: int, break_after: int) -> None:
        self.port = port
        self.break_after: int | None = break_after
        self.requests: list[tuple[str, str]] = []

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self.port)
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(
                self._copy_requests(reader, upstream_writer), self._copy_responses(upstream_reader, writer)
            )
        for end in (writer, upstream_writer):
            end.close()

    async def _copy_requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while block := await reader.read(_BLOCK):
            for head in re.findall(rb"(?:GET|HEAD|POST) [^\r]*\r\n(?:[^\r]+\r\n)*", block):
                found = re.search(rb"(?im)^range: ([^\r]*)", head)
                self.requests.append((head.split(b"\r\n")[0].decode(), found[1].decode() if found else ""))
            writer.write(block)
            await writer.drain()
        writer.close()

    async def _copy_responses(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        copied = 0
        while block := await reader.read(_BLOCK):
            copied += len(block)
            if self.break_after is not None and copied > self.break_after:
                self.break_after = None
                raise ConnectionAbortedError
            writer.write(block)
            await writer.drain()
        writer.close()

    async def _serve(self, started: "threading.Event", stop: asyncio.Event) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.own_port: int = server.sockets[0].getsockname()[1]
        started.set()
        await stop.wait()
        server.close()


@contextmanager
def relaying(port: int, break_after: int) -> Iterator[tuple[Relay, str]]:
    """A relay in a thread, and its URL."""
    relay, started, stop = Relay(port, break_after), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(relay._serve(started, stop)), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield relay, f"http://127.0.0.1:{relay.own_port}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
