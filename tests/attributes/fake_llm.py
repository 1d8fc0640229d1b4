"""A scripted OpenAI-compatible server in this process: the test's script responds to each request."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Protocol, Self

from attributes.llm.results import QuestionResult


@dataclass
class FakeResponse:
    """One HTTP response. `drop` resets the connection instead; `wait_s` passes before the first byte, `drip_s` before
    each further byte."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    drip_s: float = 0.0
    drop: bool = False


@dataclass
class FakeRequest:
    """One chat request as the server received it. `path` has the query."""

    body: dict[str, Any]
    headers: dict[str, str]
    received_at: float
    path: str = "/v1/chat/completions"

    @property
    def subject(self) -> dict[str, str]:
        """The line of JSON with the label, parsed from the prompt."""
        lines = _text_of(self.body["messages"][-1]).split("\n")
        return next(json.loads(line) for line in lines if line.startswith(("{}", '{"label"', '{"domain"')))

    @property
    def level(self) -> str:
        """The level of the response format."""
        response_format = self.body.get("response_format", {"type": "prose"})
        return f"{response_format['type']}_schema" if "schema" in response_format else str(response_format["type"])

    @property
    def prompt(self) -> str:
        return "\n".join(map(_text_of, self.body["messages"]))

    @property
    def response_fields(self) -> set[str]:
        """The fields of the response, by the schema in the request or in its prompt."""
        if self.level == "json_schema":
            schema = self.body["response_format"]["json_schema"]["schema"]
        else:
            schema = json.loads(self.prompt.partition("and nothing else:\n")[2].split("\n")[0])
        return set(schema["properties"])


def _text_of(message: Mapping[str, Any]) -> str:
    content = message["content"]
    return str(content if isinstance(content, str) else content[0]["text"])


def content_for_label(label: str, *, num_phrases: int = 5, **changes: Any) -> dict[str, Any]:
    """A valid response of `describe` about a label."""
    phrases = [
        {"part": f"part {i}", "value": f"value {i}", "phrase": f"a striking mark {i}"} for i in range(num_phrases)
    ]
    return {"label": label, "sentence": f"The {label} is round and red.", "phrases": phrases} | changes


def content_for_request(request: FakeRequest, **changes: Any) -> dict[str, Any]:
    """A valid response to a request of any strategy."""
    fields, subject = request.response_fields, request.subject
    sides = ("target", "other")
    differences = [
        {"part": f"part {i}"}
        | {f"{side}_value": f"{side}ish {i}" for side in sides}
        | {f"{side}_phrase": f"a {side}ish mark {i}" for side in sides}
        for i in range(3)
    ]
    name = subject.get("label", "thing")
    content = content_for_label(name) | {
        "other": subject.get("other"),
        "differences": differences,
        "answer": f"The {name} is red and round.",
        "caption": f"A {name} on a twig.",
    }
    return {field: content[field] for field in fields} | changes


def completion(content: Any, *, finish: str = "stop", refusal: str | None = None) -> dict[str, Any]:
    """The body of a chat completion; content that is not text is sent as JSON."""
    text = content if isinstance(content, str) or content is None else json.dumps(content)
    message = {"role": "assistant", "content": text, "refusal": refusal}
    return {
        "id": "cmpl-1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 40, "total_tokens": 140},
    }


def error_response(status: int, message: str = "no", **more: Any) -> FakeResponse:
    """An error in OpenAI's format; `headers` become HTTP headers."""
    headers = more.pop("headers", {})
    return FakeResponse(status, {"error": {"message": message, "type": "error", **more}}, headers)


class BatchEndpoint(Protocol):
    """A Batch API, such as `tests.attributes.fake_batch_api.FakeBatchAPI`."""

    def respond(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> FakeResponse: ...


def _body_of(handler: BaseHTTPRequestHandler) -> bytes:
    return handler.rfile.read(int(handler.headers.get("content-length") or 0))


def _headers_of(handler: BaseHTTPRequestHandler) -> dict[str, str]:
    return {key.lower(): value for key, value in handler.headers.items()}


Script = Callable[[FakeRequest, int], FakeResponse]


def respond_correctly(request: FakeRequest, _index: int) -> FakeResponse:
    """The script of a server without faults."""
    return FakeResponse(body=completion(content_for_request(request)))


def respond_in_turn(*responses: FakeResponse | Callable[[FakeRequest], FakeResponse]) -> Script:
    """A script that gives these responses in turn, and repeats the last one."""

    def script(request: FakeRequest, index: int) -> FakeResponse:
        response = responses[min(index, len(responses) - 1)]
        return response(request) if callable(response) else response

    return script


class FakeLLM:
    """Listens on a free port as a context manager. `script(request, index)` responds to each request; `index` is its
    number from 0. With `tls` it speaks TLS."""

    def __init__(self, script: Script = respond_correctly, *, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.batch_api: BatchEndpoint | None = None
        self.requests: list[FakeRequest] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                if self.path.partition("?")[0].endswith("/chat/completions"):
                    fake._complete(self)
                else:
                    fake._batch(self)

            def do_GET(self) -> None:
                fake._batch(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # tests include clients that disconnect

        self._server = Server(("127.0.0.1", 0), Handler)
        self._scheme = "https" if tls else "http"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def num_calls(self) -> int:
        return len(self.requests)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _complete(self, handler: BaseHTTPRequestHandler) -> None:
        request = FakeRequest(json.loads(_body_of(handler)), _headers_of(handler), time.monotonic(), handler.path)
        with self._lock:
            index = len(self.requests)
            self.requests.append(request)
        self._respond(handler, self.script(request, index))

    def _batch(self, handler: BaseHTTPRequestHandler) -> None:
        body, headers = _body_of(handler), _headers_of(handler)
        with self._lock:
            if self.batch_api is None:
                response = error_response(404)
            else:
                response = self.batch_api.respond(handler.command, handler.path, headers, body)
        self._respond(handler, response)

    def _respond(self, handler: BaseHTTPRequestHandler, response: FakeResponse) -> None:
        self._closed.wait(response.wait_s)
        if response.drop:
            # RST instead of FIN: the client sees "connection reset".
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            handler.connection.close()
            handler.close_connection = True
            return
        self._send(handler, response)

    def _send(self, handler: BaseHTTPRequestHandler, response: FakeResponse) -> None:
        data = response.body if isinstance(response.body, bytes) else json.dumps(response.body).encode()
        handler.send_response(response.status)
        for name, value in {"Content-Type": "application/json", **response.headers}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        if not response.drip_s:
            handler.wfile.write(data)
            return
        for i in range(len(data)):
            if self._closed.wait(response.drip_s):
                return
            handler.wfile.write(data[i : i + 1])
            handler.wfile.flush()


ROBIN = content_for_label("robin")
GOOD = FakeResponse(body=completion(ROBIN))


def sentence_of(result: QuestionResult) -> str:
    """The sentence of a result."""
    return next(line.text for line in result.lines if line.kind == "sentence")
