"""An HTTP proxy in this process that forwards to one server and records each exchange: what the server really sent.

    with Meter("http://127.0.0.1:8080") as meter:
        ...  # requests to meter.root
        meter.exchanges

The recorded tokens are the server's bill, with which the client's own count is compared.
"""

import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator

_HOP_BY_HOP = {
    "accept-encoding",
    "connection",
    "keep-alive",
    "transfer-encoding",
    "content-length",
    "host",
    "date",
    "server",
}
UPSTREAM_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Exchange:
    """One request and its response, both as parsed JSON. `status` is 0 if the server broke the connection."""

    request: Mapping[str, Any]
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    response: Any = None

    @property
    def prompt_tokens(self) -> int:
        return self._usage("prompt_tokens")

    @property
    def completion_tokens(self) -> int:
        return self._usage("completion_tokens")

    @property
    def cached_tokens(self) -> int:
        usage = self.response.get("usage") or {} if isinstance(self.response, dict) else {}
        return int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)

    @property
    def is_complete(self) -> bool:
        """Whether the model ended its response itself, before the token limit."""
        return self.status == 200 and self._choice.get("finish_reason") == "stop"

    @property
    def text(self) -> str:
        """The content of the response."""
        return str((self._choice.get("message") or {}).get("content") or "")

    @property
    def schema(self) -> Mapping[str, Any] | None:
        """The schema that the request asks the server to enforce."""
        response_format = self.request.get("response_format") or {}
        found = (response_format.get("json_schema") or response_format).get("schema")
        return found if isinstance(found, dict) else None

    def fits_schema(self) -> bool:
        """Whether the text of the response is JSON that fits the schema of the request."""
        try:
            return self.schema is not None and Draft202012Validator(self.schema).is_valid(json.loads(self.text))
        except ValueError:
            return False

    @property
    def _choice(self) -> Mapping[str, Any]:
        choices = self.response.get("choices") if isinstance(self.response, dict) else None
        return choices[0] if choices else {}

    def _usage(self, name: str) -> int:
        usage = self.response.get("usage") or {} if isinstance(self.response, dict) else {}
        return int(usage.get(name) or 0)


class Meter:
    """Forwards requests to `upstream` (scheme, host and port) and records them, as a context manager."""

    def __init__(self, upstream: str) -> None:
        self.exchanges: list[Exchange] = []
        parts = urlsplit(upstream)
        self._address = (parts.hostname or "", parts.port or 80)
        meter = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                meter._forward(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Listener(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # a client that disconnected

        self._listener = Listener(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._listener.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self._listener.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()

    def _forward(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        request = json.loads(body)
        try:
            status, headers, content = self._send(handler, body)
        except (OSError, http.client.HTTPException):
            self.exchanges.append(Exchange(request, 0))
            handler.close_connection = True  # without a response: the client sees a broken connection
            return
        self.exchanges.append(Exchange(request, status, headers, _json(content)))
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def _send(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(*self._address, timeout=UPSTREAM_TIMEOUT_S)
        try:
            connection.request(handler.command, handler.path, body, dict(_end_to_end(handler.headers.items())))
            response = connection.getresponse()
            return response.status, dict(_end_to_end(response.getheaders())), response.read()
        finally:
            connection.close()


def _end_to_end(headers: Any) -> Iterator[tuple[str, str]]:
    """The headers that a proxy passes on."""
    return ((name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP)


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content.decode(errors="replace")
