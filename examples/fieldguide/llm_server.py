"""A stand-in LLM that knows the field guide, behind the part of OpenAI's HTTP interface that Limbeck uses.

    python -m examples.fieldguide.llm_server --port 8765
    LIMBECK_LLM_BASE_URL=http://127.0.0.1:8765/v1

`GET /v1/models`, `POST /v1/chat/completions` (JSON schema, JSON object, prose; usage counted), `GET /stats`. Options
for tests: `--latency-ms`, `--api-key`, `--faults FILE.json` (see `llm_faults.py`). In a test:
`with serve(faults=[{"fault": "refusal"}]) as llm: … llm.base_url … llm.stats()`.
"""

import argparse
import asyncio
import contextlib
import json
import re
import signal
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from examples.fieldguide.llm_answers import answer, entry_for, label_of
from examples.fieldguide.llm_faults import Faults, Rule, parse_rules, read_rules
from examples.fieldguide.world import species

T = TypeVar("T")

MODEL = "fieldguide"
_MOST_BODY_BYTES = 8 * 2**20
_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 405: "Method Not Allowed",
            413: "Content Too Large", 422: "Unprocessable Content", 429: "Too Many Requests",
            500: "Internal Server Error", 503: "Service Unavailable"}  # fmt: skip
_REFUSAL = "I'm sorry, but I can't help with that."


class _HangUp(Exception):
    """End this connection without (more of) an answer."""


@dataclass
class Stats:
    """What the server has been asked so far."""

    calls: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    calls_by_label: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        counted = {key: dict(getattr(self, key)) for key in ("calls_by_label", "faults", "statuses")}
        plain = {key: value for key, value in vars(self).items() if key not in counted}
        return {**plain, **counted}


@dataclass(frozen=True)
class _Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class _Reply:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False  # send half of the body, then close


def _json_reply(status: int, content: Any, **headers: str) -> _Reply:
    return _Reply(status, json.dumps(content, ensure_ascii=False).encode(), {**headers})


def _error(status: int, message: str, code: str, **headers: str) -> _Reply:
    kind = "invalid_request_error" if status < 429 else "rate_limit_error" if status == 429 else "server_error"
    return _json_reply(status, {"error": {"message": message, "type": kind, "param": None, "code": code}}, **headers)


def count_tokens(text: str) -> int:
    """Words and signs: near enough to a tokenizer's count for a stand-in."""
    return len(re.findall(r"\w+|[^\w\s]", text))


def _text_of(message: Any) -> str:
    """A message's text, given as a string or as a list of parts."""
    content = message.get("content") if isinstance(message, Mapping) else None
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return content if isinstance(content, str) else ""


class LLM:
    """The server's state and its answers; one instance lives in one event loop."""

    def __init__(self, *, latency_s: float = 0.0, api_key: str | None = None, faults: Iterable[Rule] = ()) -> None:
        self.latency_s = latency_s
        self.api_key = api_key
        self.faults = Faults(faults)
        self.stats = Stats()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, kept alive for as many requests as the client sends."""
        with contextlib.suppress(_HangUp, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while (request := await _read(reader)) is not None:
                reply = await self._respond(request, reader, writer)
                self.stats.statuses[reply.status] += 1
                writer.write(_bytes(reply))
                await writer.drain()
                if reply.cut or request.headers.get("connection", "").lower() == "close":
                    break

    async def _respond(self, request: _Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Reply:
        path = request.path.split("?")[0].rstrip("/")
        if (request.method, path) == ("GET", "/stats"):
            return _json_reply(200, self.stats.as_dict())
        if len(request.body) > _MOST_BODY_BYTES:
            return _error(413, "The request is too large.", "request_too_large")
        if self.api_key is not None and request.headers.get("authorization") != f"Bearer {self.api_key}":
            return _error(401, "Incorrect API key provided.", "invalid_api_key")
        if (request.method, path) == ("GET", "/v1/models"):
            model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "limbeck"}
            return _json_reply(200, {"object": "list", "data": [model]})
        if path != "/v1/chat/completions":
            return _error(404, f"Unknown address {path}.", "not_found")
        if request.method != "POST":
            return _error(405, "Use POST.", "method_not_allowed", Allow="POST")
        try:
            asked = json.loads(request.body)
            messages = asked["messages"]
            prompt = _text_of([one for one in messages if one["role"] == "user"][-1])
        except (ValueError, KeyError, TypeError, IndexError):
            return _error(400, "The body must be JSON with messages, one of them the user's.", "bad_body")
        if asked.get("stream"):
            return _error(400, "This server does not stream.", "unsupported_value")
        self.stats.in_flight += 1
        self.stats.max_in_flight = max(self.stats.max_in_flight, self.stats.in_flight)
        try:
            return await self._complete(asked, messages, prompt, reader, writer)
        finally:
            self.stats.in_flight -= 1

    async def _complete(
        self, asked: Mapping[str, Any], messages: Sequence[Any], prompt: str,
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
    ) -> _Reply:  # fmt: skip
        label = label_of(prompt)
        rule = self.faults.next(label=label, call=self.stats.calls, attempt=self.stats.calls_by_label[label])
        self.stats.calls += 1
        self.stats.calls_by_label[label] += 1
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        if rule is not None:
            self.stats.faults[rule.fault] += 1
            early = await self._early_fault(rule, reader, writer)
            if early is not None:
                return early
        fault = rule.fault if rule is not None else ""
        about = _another(label) if fault == "other_label" else label
        text: str | None = answer(prompt, entry_for(about), asked.get("response_format"))
        text, finish = _spoilt(str(text), fault)
        limit = asked.get("max_completion_tokens") or asked.get("max_tokens")
        if text and limit and count_tokens(text) > limit:
            text, finish = " ".join(text.split()[:limit]), "length"
        reply = self._completion(asked, messages, text, finish, refused=fault == "refusal")
        if fault == "empty_choices":
            reply["choices"] = []
        sent = _json_reply(200, reply)
        sent.cut = fault == "cut_body"
        return sent

    async def _early_fault(
        self, rule: Rule, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> _Reply | None:
        """The faults that answer nothing, or something else than a completion."""
        if rule.fault == "status":
            wait = {} if rule.retry_after is None else {"Retry-After": f"{rule.retry_after:g}"}
            return _error(rule.status, f"A scripted {rule.status}.", f"scripted_{rule.status}", **wait)
        if rule.fault == "not_json":
            return _Reply(200, b"<html>upstream is resting</html>")
        if rule.fault == "slow":
            await asyncio.sleep(rule.seconds)
        if rule.fault == "hang":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1), rule.seconds)  # returns once the client has gone
            raise _HangUp
        if rule.fault == "reset":
            # Linger of zero makes the close a reset.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            raise _HangUp
        return None

    def _completion(
        self, asked: Mapping[str, Any], messages: Sequence[Any], text: str | None, finish: str, *, refused: bool
    ) -> dict[str, Any]:
        prompt_tokens = sum(count_tokens(_text_of(one)) + 4 for one in messages)
        completion_tokens = count_tokens(text or "")
        self.stats.prompt_tokens += prompt_tokens
        self.stats.completion_tokens += completion_tokens
        content, refusal = (None, _REFUSAL) if refused else (text, None)
        message = {"role": "assistant", "content": content, "refusal": refusal}
        return {
            "id": f"chatcmpl-{self.stats.calls}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": asked.get("model") or MODEL,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
            "usage": {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": completion_tokens,
                "total_tokens": prompt_tokens + completion_tokens,
            },
        }


def _another(label: str) -> str:
    return next(one.name for one in species() if one.name != label)


def _spoilt(text: str, fault: str) -> tuple[str | None, str]:
    """The text as the fault leaves it, and the finish reason."""
    if fault == "truncated":
        return text[: len(text) // 2], "stop"
    if fault == "length":
        return text[: len(text) // 2], "length"
    if fault == "prose":
        return f"Certainly! Here is what you asked for:\n\n```json\n{text}\n```\n\nAnything else?", "stop"
    if fault == "rubbish":
        return "Once upon a time there was a creature, and nobody wrote down what it looked like.", "stop"
    if fault == "wrong_types":
        return json.dumps({"sentence": 7, "phrases": "spots"}), "stop"
    return (None if fault == "null_content" else text), "stop"


async def _read(reader: asyncio.StreamReader) -> _Request | None:
    """The next request; None once the client has closed between requests."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.rstrip("\r\n").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    method, _, rest = first.partition(" ")
    length = headers.get("content-length", "0")
    size = min(int(length), _MOST_BODY_BYTES + 1) if length.isdigit() else 0
    return _Request(method, rest.split(" ")[0], headers, await reader.readexactly(size))


def _bytes(reply: _Reply) -> bytes:
    lines = [f"HTTP/1.1 {reply.status} {_REASONS.get(reply.status, 'Status')}", "Content-Type: application/json",
             f"Content-Length: {len(reply.body)}", *(f"{k}: {v}" for k, v in reply.headers.items())]  # fmt: skip
    body = reply.body[: len(reply.body) // 2] if reply.cut else reply.body
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class RunningServer:
    """A server in a thread of this process; `base_url` is what an OpenAI client wants."""

    def __init__(self, llm: LLM, host: str, port: int, loop: asyncio.AbstractEventLoop) -> None:
        self.llm, self.host, self.port, self._loop = llm, host, port, loop
        self.base_url = f"http://{host}:{port}/v1"

    def stats(self) -> dict[str, Any]:
        return self._in_loop(self.llm.stats.as_dict)

    def set_faults(self, faults: Iterable[Mapping[str, Any]]) -> None:
        """Put other rules in place of the present ones."""
        rules = parse_rules(faults)
        self._in_loop(lambda: setattr(self.llm, "faults", Faults(rules)))

    def _in_loop(self, call: Callable[[], T]) -> T:
        async def run() -> T:
            return call()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(timeout=10)


async def _serve_until(stop: asyncio.Event, llm: LLM, host: str, port: int, ready: Callable[[int], None]) -> None:
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        try:
            await llm.handle(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            writer.close()

    server = await asyncio.start_server(connected, host, port, backlog=1024)
    ready(server.sockets[0].getsockname()[1])
    await stop.wait()
    server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)  # transports close in the loop's next turn


@contextlib.contextmanager
def serve(
    *, host: str = "127.0.0.1", port: int = 0, latency_ms: float = 0, api_key: str | None = None,
    faults: Iterable[Mapping[str, Any]] = (),
) -> Iterator[RunningServer]:  # fmt: skip
    """The server in a thread, on a free port by default, until the block ends."""
    llm = LLM(latency_s=latency_ms / 1000, api_key=api_key, faults=parse_rules(faults))
    loop, stop, started = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
    bound: list[int] = []
    failure: list[BaseException] = []

    def ready(at: int) -> None:
        bound.append(at)
        started.set()

    def run() -> None:
        try:
            loop.run_until_complete(_serve_until(stop, llm, host, port, ready))
        except OSError as error:
            failure.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run, name="fieldguide-llm", daemon=True)
    thread.start()
    started.wait(timeout=10)
    if failure:
        loop.close()
        raise failure[0]
    try:
        yield RunningServer(llm, host, bound[0], loop)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(timeout=10)
        loop.close()


async def _serve_process(llm: LLM, host: str, port: int) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)

    def ready(at: int) -> None:
        print(f"field guide LLM at http://{host}:{at}/v1", flush=True)

    await _serve_until(stop, llm, host, port, ready)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Serve the field guide as an OpenAI-compatible LLM.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8765, help="0 for any free port; the one taken is printed")
    parser.add_argument("--latency-ms", type=float, default=0)
    parser.add_argument("--api-key", help="refuse calls that do not carry it")
    parser.add_argument("--faults", type=Path, help="JSON file of fault rules")
    options = parser.parse_args(arguments)
    rules = read_rules(options.faults) if options.faults else []
    llm = LLM(latency_s=options.latency_ms / 1000, api_key=options.api_key, faults=rules)
    asyncio.run(_serve_process(llm, options.host, options.port))


if __name__ == "__main__":
    main()
