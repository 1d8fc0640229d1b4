"""A scripted OpenAI-compatible server in this process: each request gets what the test's script says."""

import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Protocol, Self


@dataclass
class Say:
    """One response. `drop` resets the connection instead; `wait_s` goes by before the first byte, `drip_s` between."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    drip_s: float = 0.0
    drop: bool = False


@dataclass
class Seen:
    """One request as it came in."""

    body: dict[str, Any]
    headers: dict[str, str]
    at: float

    @property
    def subject(self) -> dict[str, str]:
        """The line of JSON with the label, read back from the prompt."""
        lines = _text_of(self.body["messages"][-1]).split("\n")
        return next(json.loads(line) for line in lines if line.startswith(("{}", '{"label"', '{"domain"')))

    @property
    def rung(self) -> str:
        form = self.body.get("response_format", {"type": "prose"})
        return f"{form['type']}_schema" if "schema" in form else str(form["type"])

    @property
    def prompt(self) -> str:
        return "\n".join(map(_text_of, self.body["messages"]))

    @property
    def wanted(self) -> set[str]:
        """The fields of the answer, by the schema that came with the request or in its prompt."""
        if self.rung == "json_schema":
            schema = self.body["response_format"]["json_schema"]["schema"]
        else:
            schema = json.loads(self.prompt.partition("and nothing else:\n")[2].split("\n")[0])
        return set(schema["properties"])


def _text_of(message: Mapping[str, Any]) -> str:
    content = message["content"]
    return str(content if isinstance(content, str) else content[0]["text"])


def answer_for(label: str, *, num_phrases: int = 5, **changes: Any) -> dict[str, Any]:
    """A good answer about a label."""
    phrases = [
        {"part": f"part {i}", "value": f"value {i}", "phrase": f"a striking mark {i}"} for i in range(num_phrases)
    ]
    return {"label": label, "sentence": f"The {label} is round and red.", "phrases": phrases} | changes


def answer_to(seen: Seen, **changes: Any) -> dict[str, Any]:
    """A good answer to whatever is asked."""
    wanted, subject = seen.wanted, seen.subject
    sides = ("target", "other")
    differences = [
        {"part": f"part {i}"}
        | {f"{side}_value": f"{side}ish {i}" for side in sides}
        | {f"{side}_phrase": f"a {side}ish mark {i}" for side in sides}
        for i in range(3)
    ]
    name = subject.get("label", "thing")
    fields = answer_for(name) | {
        "other": subject.get("other"),
        "differences": differences,
        "answer": f"The {name} is red and round.",
        "caption": f"A {name} on a twig.",
    }
    return {field: fields[field] for field in wanted} | changes


def completion(content: Any, *, finish: str = "stop", refusal: str | None = None) -> dict[str, Any]:
    """The body of a chat completion; an answer that is not text is sent as JSON."""
    text = content if isinstance(content, str) or content is None else json.dumps(content)
    message = {"role": "assistant", "content": text, "refusal": refusal}
    return {
        "id": "cmpl-1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 40, "total_tokens": 140},
    }


def error(status: int, message: str = "no", **more: Any) -> Say:
    """An error as OpenAI words it; `headers` go out as headers."""
    headers = more.pop("headers", {})
    return Say(status, {"error": {"message": message, "type": "error", **more}}, headers)


class Desk(Protocol):
    """A Batch API (`fake_batches` has one)."""

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Say: ...


def _body_of(handler: BaseHTTPRequestHandler) -> bytes:
    return handler.rfile.read(int(handler.headers.get("content-length") or 0))


def _headers_of(handler: BaseHTTPRequestHandler) -> dict[str, str]:
    return {key.lower(): value for key, value in handler.headers.items()}


Script = Callable[[Seen, int], Say]


def good(seen: Seen, _nth: int) -> Say:
    """The script of a server without faults."""
    return Say(body=completion(answer_to(seen)))


def in_turn(*says: Say | Callable[[Seen], Say]) -> Script:
    """A script that gives these in turn, the last one for ever."""

    def script(seen: Seen, nth: int) -> Say:
        say = says[min(nth, len(says) - 1)]
        return say(seen) if callable(say) else say

    return script


class FakeLLM:
    """Listens on a free port while entered. `script(seen, nth)` answers the nth request (from 0)."""

    def __init__(self, script: Script = good) -> None:
        self.script = script
        self.desk: Desk | None = None  # its Batch API, where it has one
        self.seen: list[Seen] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                if self.path == "/v1/chat/completions":
                    fake._answer(self)
                else:
                    fake._desk(self)

            def do_GET(self) -> None:
                fake._desk(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # clients that give up are part of the test

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def num_calls(self) -> int:
        return len(self.seen)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        seen = Seen(json.loads(_body_of(handler)), _headers_of(handler), time.monotonic())
        with self._lock:
            nth = len(self.seen)
            self.seen.append(seen)
        self._say(handler, self.script(seen, nth))

    def _desk(self, handler: BaseHTTPRequestHandler) -> None:
        body, headers = _body_of(handler), _headers_of(handler)
        with self._lock:
            say = self.desk.answer(handler.command, handler.path, headers, body) if self.desk else error(404)
        self._say(handler, say)

    def _say(self, handler: BaseHTTPRequestHandler, say: Say) -> None:
        self._over.wait(say.wait_s)
        if say.drop:
            # RST instead of FIN: the peer sees "connection reset".
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            handler.connection.close()
            handler.close_connection = True
            return
        self._send(handler, say)

    def _send(self, handler: BaseHTTPRequestHandler, say: Say) -> None:
        data = say.body if isinstance(say.body, bytes) else json.dumps(say.body).encode()
        handler.send_response(say.status)
        for name, value in {"Content-Type": "application/json", **say.headers}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        if not say.drip_s:
            handler.wfile.write(data)
            return
        for i in range(len(data)):
            if self._over.wait(say.drip_s):
                return
            handler.wfile.write(data[i : i + 1])
            handler.wfile.flush()
