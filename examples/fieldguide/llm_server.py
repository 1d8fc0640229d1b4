"""A stand-in LLM for the field guide that implements the part of the OpenAI HTTP API that Limbeck uses.

    python -m examples.fieldguide.llm_server --port 8765
    LIMBECK_LLM_BASE_URL=http://127.0.0.1:8765/v1

Endpoints: `GET /v1/models`, `POST /v1/chat/completions` (JSON schema, JSON object or prose, with usage), files and
batches as in the OpenAI API, and `GET /stats`. Options for tests: `--latency-ms`, `--batch-s`, `--api-key`,
`--faults FILE.json` (see `llm_faults.py`). In a test:
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
from typing import TypeVar

from examples.fieldguide.llm.answers import entry_for_prompt, label_of, response_text
from examples.fieldguide.llm.batches import BatchRequestError, StandInBatches
from examples.fieldguide.llm.faults import FaultRule, Faults, parse_rules, read_rules
from examples.fieldguide.llm.http import (
    MAX_BODY_BYTES,
    CloseConnection,
    HttpReply,
    HttpRequest,
    error_reply,
    json_reply,
    read_request,
    reply_bytes,
)
from examples.fieldguide.llm.prompts import ParsedPrompt, parse_prompt, refusal_reason
from examples.fieldguide.llm.types import ChatBody, Completion, FaultRecord, ReplyMessage, StatsJSON
from examples.fieldguide.world import species

T = TypeVar("T")

MODEL = "fieldguide"
_REFUSAL = "I'm sorry, but I can't help with that."


@dataclass
class ServerStats:
    """Counters of the requests that the server has received."""

    calls: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    calls_by_label: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)

    def as_dict(self) -> StatsJSON:
        return {
            "calls": self.calls,
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "calls_by_label": dict(self.calls_by_label),
            "faults": dict(self.faults),
            "statuses": dict(self.statuses),
        }


def count_tokens(text: str) -> int:
    """The number of words and punctuation marks, as an approximation of the number of tokens."""
    return len(re.findall(r"\w+|[^\w\s]", text))


def _text_of(message: object) -> str:
    """The text of a message whose content is a string or a list of parts."""
    content = message.get("content") if isinstance(message, Mapping) else None
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return content if isinstance(content, str) else ""


class StandInLLM:
    """The state and the request handlers of the server. An instance belongs to one event loop."""

    def __init__(
        self,
        *,
        latency_s: float = 0.0,
        api_key: str | None = None,
        faults: Iterable[FaultRule] = (),
        batch_s: float = 0.0,
    ) -> None:
        self.latency_s = latency_s
        self.batches = StandInBatches(self._respond_in_batch, duration_s=batch_s)
        self.api_key = api_key
        self.faults = Faults(faults)
        self.stats = ServerStats()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle all requests of one keep-alive connection."""
        with contextlib.suppress(
            CloseConnection, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
        ):
            while (request := await read_request(reader)) is not None:
                reply = await self._respond(request, reader, writer)
                self.stats.statuses[reply.status] += 1
                writer.write(reply_bytes(reply))
                await writer.drain()
                if reply.is_cut or request.headers.get("connection", "").lower() == "close":
                    break

    async def _respond(
        self, request: HttpRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> HttpReply:
        path = request.path.split("?")[0].rstrip("/")
        if (request.method, path) == ("GET", "/stats"):
            return json_reply(200, self.stats.as_dict())
        if len(request.body) > MAX_BODY_BYTES:
            return error_reply(413, "The request is too large.", "request_too_large")
        if self.api_key is not None and request.headers.get("authorization") != f"Bearer {self.api_key}":
            return error_reply(401, "Incorrect API key provided.", "invalid_api_key")
        if (request.method, path) == ("GET", "/v1/models"):
            model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "limbeck"}
            return json_reply(200, {"object": "list", "data": [model]})
        if path.startswith(("/v1/files", "/v1/batches")):
            return await self._handle_batch_api(request, path.removeprefix("/v1/").split("/"))
        if path != "/v1/chat/completions":
            return error_reply(404, f"Unknown address {path}.", "not_found")
        if request.method != "POST":
            return error_reply(405, "Use POST.", "method_not_allowed", Allow="POST")
        try:
            body = json.loads(request.body)
            prompt = parse_prompt(body)
        except (ValueError, KeyError, TypeError, IndexError):
            return error_reply(400, "The body must be JSON with messages, one of them from the user.", "bad_body")
        if body.get("stream"):
            return error_reply(400, "This server does not support streaming.", "unsupported_value")
        self.stats.in_flight += 1
        self.stats.max_in_flight = max(self.stats.max_in_flight, self.stats.in_flight)
        try:
            return await self._complete(body, prompt, reader, writer)
        finally:
            self.stats.in_flight -= 1

    async def _handle_batch_api(self, request: HttpRequest, path: list[str]) -> HttpReply:
        try:
            match request.method, path:
                case "POST", ["files"]:
                    content_type = request.headers.get("content-type", "")
                    return json_reply(200, self.batches.upload(content_type, request.body))
                case "GET", ["files", file_id, "content"]:
                    return HttpReply(200, self.batches.content(file_id))
                case "POST", ["batches"]:
                    return json_reply(200, self.batches.create(json.loads(request.body)))
                case "GET", ["batches"]:
                    return json_reply(200, self.batches.list_all())
                case "GET", ["batches", batch_id]:
                    return json_reply(200, await self.batches.get(batch_id))
                case "POST", ["batches", batch_id, "cancel"]:
                    return json_reply(200, self.batches.cancel(batch_id))
        except BatchRequestError as error:
            return error_reply(error.status, str(error), error.code)
        except (ValueError, AttributeError):
            return error_reply(400, "The body must be a JSON object.", "bad_body")
        return error_reply(404, "Unknown address.", "not_found")

    async def _respond_in_batch(self, body: ChatBody) -> tuple[int, object] | None:
        """Status and body for one line of a batch. Connection faults become server errors."""
        try:
            prompt = parse_prompt(body)
        except (ValueError, KeyError, TypeError, IndexError):
            reply = error_reply(400, "The body must contain messages, one of them from the user.", "bad_body")
        else:
            label, rule, nth = self._count(prompt)
            fault = rule.fault if rule else ""
            if fault == "expired":
                return None
            if rule and fault in ("status", "hang", "reset", "not_json"):
                reply = error_reply(rule.status, f"A scripted {fault}.", f"scripted_{fault}")
            else:
                reply = self._completion_reply(body, prompt, label, fault, nth)
        return reply.status, json.loads(reply.body)

    def _count(self, prompt: ParsedPrompt) -> tuple[str, FaultRule | None, int]:
        """The label of the prompt, the fault rule for the call, and the number of earlier calls for the label."""
        label = label_of(prompt.subject.get("label") or prompt.text)
        nth = self.stats.calls_by_label[label]
        rule = self.faults.next(label=label, call=self.stats.calls, attempt=nth)
        self.stats.calls += 1
        self.stats.calls_by_label[label] += 1
        if rule is not None:
            self.stats.faults[rule.fault] += 1
        return label, rule, nth

    async def _complete(
        self, body: ChatBody, prompt: ParsedPrompt, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> HttpReply:
        label, rule, nth = self._count(prompt)
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        if rule is not None:
            fault_reply = await self._apply_early_fault(rule, reader, writer)
            if fault_reply is not None:
                return fault_reply
        return self._completion_reply(body, prompt, label, rule.fault if rule is not None else "", nth)

    def _completion_reply(self, body: ChatBody, prompt: ParsedPrompt, label: str, fault: str, nth: int) -> HttpReply:
        """The reply with the completion, after the fault (if any) was applied to its content."""
        entry = entry_for_prompt(prompt, _other_species(label) if fault == "other_label" else label, nth=nth)
        full_text = response_text(prompt.text, entry, body.get("response_format"), prompt.schema)
        text, finish = _with_fault(full_text, fault)
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
        if text and limit and count_tokens(text) > limit:
            text, finish = " ".join(text.split()[:limit]), "length"
        refusal = _REFUSAL if fault == "refusal" else refusal_reason(prompt)
        completion = self._completion(body, text, finish, refusal)
        if fault == "empty_choices":
            completion["choices"] = []
        reply = json_reply(200, completion)
        reply.is_cut = fault == "cut_body"
        return reply

    async def _apply_early_fault(
        self, rule: FaultRule, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> HttpReply | None:
        """Apply the faults that replace the completion; returns their reply, or None to send the completion."""
        if rule.fault == "status":
            wait = {} if rule.retry_after is None else {"Retry-After": f"{rule.retry_after:g}"}
            return error_reply(rule.status, f"A scripted {rule.status}.", f"scripted_{rule.status}", **wait)
        if rule.fault == "not_json":
            return HttpReply(200, b"<html>upstream is resting</html>")
        if rule.fault == "slow":
            await asyncio.sleep(rule.seconds)
        if rule.fault in ("hang", "expired"):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1), rule.seconds)  # returns once the client has gone
            raise CloseConnection
        if rule.fault == "reset":
            # With a linger time of zero, closing the socket sends a reset.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            raise CloseConnection
        return None

    def _completion(self, body: ChatBody, text: str | None, finish: str, refusal: str | None) -> Completion:
        prompt_tokens = sum(count_tokens(_text_of(one)) + 4 for one in body["messages"])
        completion_tokens = count_tokens(text or "")
        self.stats.prompt_tokens += prompt_tokens
        self.stats.completion_tokens += completion_tokens
        message: ReplyMessage = {"role": "assistant", "content": None if refusal else text, "refusal": refusal}
        return {
            "id": f"chatcmpl-{self.stats.calls}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": body.get("model") or MODEL,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
            "usage": {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": completion_tokens,
                "total_tokens": prompt_tokens + completion_tokens,
            },
        }


def _other_species(label: str) -> str:
    return next(one.name for one in species() if one.name != label)


def _with_fault(text: str, fault: str) -> tuple[str | None, str]:
    """The text after the fault was applied, and the finish reason."""
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


class RunningServer:
    """A server in a thread of this process; `base_url` is the base URL for an OpenAI client."""

    def __init__(self, llm: StandInLLM, host: str, port: int, loop: asyncio.AbstractEventLoop) -> None:
        self.llm, self.host, self.port, self._loop = llm, host, port, loop
        self.base_url = f"http://{host}:{port}/v1"

    def stats(self) -> StatsJSON:
        return self._in_loop(self.llm.stats.as_dict)

    def set_faults(self, faults: Iterable[FaultRecord]) -> None:
        """Replace the fault rules."""
        rules = parse_rules(faults)
        self._in_loop(lambda: setattr(self.llm, "faults", Faults(rules)))

    def _in_loop(self, call: Callable[[], T]) -> T:
        async def run() -> T:
            return call()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(timeout=10)


async def _serve_until(
    stop: asyncio.Event, llm: StandInLLM, host: str, port: int, ready: Callable[[int], None]
) -> None:
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
    await asyncio.sleep(0)  # transports close in the next iteration of the event loop


@contextlib.contextmanager
def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    latency_ms: float = 0,
    api_key: str | None = None,
    faults: Iterable[FaultRecord] = (),
    batch_s: float = 0.0,
) -> Iterator[RunningServer]:
    """Run the server in a thread until the block ends; by default on a free port."""
    llm = StandInLLM(latency_s=latency_ms / 1000, api_key=api_key, faults=parse_rules(faults), batch_s=batch_s)
    loop, stop, started = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
    ports: list[int] = []
    failure: list[BaseException] = []

    def ready(bound_port: int) -> None:
        ports.append(bound_port)
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
        yield RunningServer(llm, host, ports[0], loop)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(timeout=10)
        loop.close()


async def _serve_process(llm: StandInLLM, host: str, port: int) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)

    def ready(bound_port: int) -> None:
        print(f"field guide LLM at http://{host}:{bound_port}/v1", flush=True)

    await _serve_until(stop, llm, host, port, ready)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Serve the field guide as an OpenAI-compatible LLM.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8765, help="port to listen on; 0 picks a free port and prints it")
    parser.add_argument("--latency-ms", type=float, default=0, help="delay of every completion in milliseconds")
    parser.add_argument("--batch-s", type=float, default=0, help="time in seconds that a batch is in progress")
    parser.add_argument("--api-key", help="reject requests without this API key")
    parser.add_argument("--faults", type=Path, help="JSON file of fault rules")
    options = parser.parse_args(arguments)
    rules = read_rules(options.faults) if options.faults else []
    llm = StandInLLM(
        latency_s=options.latency_ms / 1000, api_key=options.api_key, faults=rules, batch_s=options.batch_s
    )
    asyncio.run(_serve_process(llm, options.host, options.port))


if __name__ == "__main__":
    main()
