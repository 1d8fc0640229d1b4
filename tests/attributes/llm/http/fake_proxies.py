"""Proxies in this process: HTTP with CONNECT and credentials, and SOCKS5. They count what they pass on."""

import base64
import select
import socket
import socketserver
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self


class FakeProxy:
    """Listens on a free port as a context manager. `requests`: the first line, or the address, of each connection.

    `login`: `user:password` that an HTTP proxy wants. `target`: where all connections go, whatever their name.
    """

    def __init__(self, *, kind: str = "http", login: str = "", target: tuple[str, int] | None = None) -> None:
        self.requests: list[str] = []
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):  # the client may be gone
                    (proxy._socks if kind == "socks5" else proxy._http)(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

        self._login, self._target = login, target
        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _http(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            received = client.recv(65536)
            if not received:
                return
            head += received
        line = head.split(b"\r\n")[0].decode()
        self.requests.append(line)
        wanted = base64.b64encode(self._login.encode())
        if self._login and b"Basic " + wanted not in head:
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        method, url, _ = line.split(" ")
        if method == "CONNECT":
            server = self._connect(*url.rsplit(":", 1))
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            place, _, path = url.removeprefix("http://").partition("/")
            host, _, port = place.partition(":")
            server = self._connect(host, port or "80")
            server.sendall(head.replace(url.encode(), f"/{path}".encode(), 1))
        _pass_on(client, server)

    def _socks(self, client: socket.socket) -> None:
        _, count = client.recv(2)
        methods = client.recv(count)
        client.sendall(b"\x05" + (b"\x00" if 0 in methods else b"\x02"))
        if 0 not in methods:  # with credentials
            client.recv(1024)
            client.sendall(b"\x01\x00")
        _, _, _, kind = client.recv(4)
        host = socket.inet_ntoa(client.recv(4)) if kind == 1 else client.recv(client.recv(1)[0]).decode()
        port = int.from_bytes(client.recv(2), "big")
        self.requests.append(f"{host}:{port}")
        server = self._connect(host, str(port))
        client.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        _pass_on(client, server)

    def _connect(self, host: str, port: str) -> socket.socket:
        return socket.create_connection(self._target or (host, int(port)), timeout=10)


def _pass_on(client: socket.socket, server: socket.socket) -> None:
    with server:
        while True:
            for one in select.select([client, server], [], [], 10)[0] or [client]:
                data = one.recv(65536)
                if not data:
                    return
                (server if one is client else client).sendall(data)
