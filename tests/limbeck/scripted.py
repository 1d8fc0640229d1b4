"""An HTTP server in this process that sends the responses of a script, in order."""

import json
import socket
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Say:
    """One response. `cut_after`: bytes of the body after which the connection is closed (0: before the status line)."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_after: int | None = None

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass(frozen=True)
class Seen:
    """One received request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Scripted:
    """The server's `url`, and the requests that it has `seen`."""

    url: str
    seen: list[Seen]


def problem(status: int, code: str, detail: str = "no", **more: Any) -> Say:
    body = {"status": status, "code": code, "detail": detail, **more}
    return Say(status, body, {"Content-Type": "application/problem+json"})


@contextmanager
def scripted(script: Sequence[Say]) -> Iterator[Scripted]:
    """Serve the script; requests after its end get status 418, which clients do not retry."""
    waiting, seen = list(script), list[Seen]()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            seen.append(Seen(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            self._say(waiting.pop(0) if waiting else Say(418, {"code": "script_ended"}))

        def _say(self, say: Say) -> None:
            content = say.content
            if say.cut_after == 0:
                return self._reset()
            self.send_response(say.status)
            for name, value in {"Content-Length": str(len(content)), **say.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content[: say.cut_after])
            self.wfile.flush()
            if say.cut_after is not None:
                self.close_connection = True

        def _reset(self) -> None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Scripted(f"http://127.0.0.1:{server.server_address[1]}", seen)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
