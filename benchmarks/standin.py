"""Fast stand-in for an LLM server: `python -m benchmarks.standin --port P [--latency-ms 500] [--in-flight 64]`.

Every request gets a valid response of the strategy `describe@1` after the latency. Only the length and the label of a
request are parsed, so that the benchmark measures the client. Requests beyond `--in-flight` at a time get 429.
`GET /stats` returns counts and times of the requests.
"""

import argparse
import asyncio
import json
import re
import resource
import time
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from hashlib import blake2b
from struct import Struct
from typing import TypedDict, cast

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
# The label is in a JSON line inside a JSON string of the body; nothing else in the body is escaped twice. The label may
# contain quotes and backslashes (escaped twice) and \u escapes.
_LABEL = re.compile(rb'\{\\"label\\": \\"((?:[^"\\]|\\\\\\"|\\\\\\\\|\\u)*)\\"')
_PARTS = ("bill", "crown", "back", "tail", "legs", "wings")
_USAGE = {"prompt_tokens": 420, "completion_tokens": 190, "total_tokens": 610}


def response_to(label: bytes) -> bytes:
    """An HTTP response with valid attributes for the label; `label` is escaped as in the request.

    The attributes are unique to the label, made of 512 invented words, so that the gates request no repairs.
    """
    hashes = _HASHES.unpack(blake2b(label, digest_size=_HASHES.size).digest())
    words = [b"%s %s %s" % (_WORDS[each >> 23], _WORDS[each >> 14 & 511], _WORDS[each >> 5 & 511]) for each in hashes]
    body = _BODY % (label, *words, *(word for word in words for _ in range(2)))
    return _HEAD % len(body) + body


def _body_template() -> bytes:
    """The response body with placeholders: the label, then per part one word in the sentence and two in its phrase."""
    attributes = {
        "label": "%s",
        "sentence": "A slender body with a " + ", a ".join(f"%s {part}" for part in _PARTS),
        "phrases": [{"part": part, "value": "%s", "phrase": f"a long %s {part}"} for part in _PARTS],
    }
    message = {"role": "assistant", "content": json.dumps(attributes), "refusal": None}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "standin",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": _USAGE,
    }
    return json.dumps(body).encode()


_BODY = _body_template()
_HASHES = Struct(f"<{len(_PARTS)}I")
_SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvwzx" for vowel in "aeio"]
_WORDS = [(first + second).encode() for first in _SYLLABLES for second in _SYLLABLES[::8]]
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
_TOO_MANY = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 2\r\n\r\n{}"


def busiest(times: Sequence[float], window_s: float) -> int:
    """The largest number of the sorted `times` within any window of `window_s` seconds."""
    return max((index - bisect_left(times, moment - window_s) + 1 for index, moment in enumerate(times)), default=0)


class StatsJSON(TypedDict):
    """Counts of requests since the start; times in seconds of the machine's monotonic clock."""

    calls: int
    refused: int
    max_in_flight: int
    first_at: float | None
    last_at: float | None
    cpu_s: float


class StandInState:
    """State shared by all connections: settings, counts and the times of the requests."""

    def __init__(self, *, latency_s: float, in_flight_limit: int | None) -> None:
        self.latency_s, self.in_flight_limit = latency_s, in_flight_limit
        self.in_flight = self.max_in_flight = self.refused = 0
        self.times = array("d")

    def stats(self) -> StatsJSON:
        """Counts of requests since the start; times in seconds of the machine's monotonic clock."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "calls": len(self.times),
            "refused": self.refused,
            "max_in_flight": self.max_in_flight,
            "first_at": self.times[0] if self.times else None,
            "last_at": self.times[-1] if self.times else None,
            "cpu_s": usage.ru_utime + usage.ru_stime,
        }


class StandInProtocol(asyncio.Protocol):
    """One keep-alive connection. The client sends its next request after the response to the last one."""

    def __init__(self, state: StandInState) -> None:
        self._state = state
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's class is not a subclass

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        end = buffer.find(b"\r\n\r\n")
        length = int(found[1]) if (found := _LENGTH.search(buffer, 0, end + 2)) else 0
        if end < 0 or len(buffer) < end + 4 + length:
            self._buffer = buffer
            return
        self._buffer = b""
        self._handle(buffer, end + 4)

    def _handle(self, request: bytes, body_start: int) -> None:
        state = self._state
        if request.startswith(b"GET"):
            found: StatsJSON | list[float] = state.times.tolist() if b"/times" in request[:20] else state.stats()
            body = json.dumps(found).encode()
            self._send(_HEAD % len(body) + body)
            return
        state.times.append(time.monotonic())
        if state.in_flight_limit is not None and state.in_flight >= state.in_flight_limit:
            state.refused += 1
            self._send(_TOO_MANY)
            return
        label = _LABEL.search(request, body_start)
        response = response_to(label[1] if label else b"")
        if not state.latency_s:
            self._send(response)
            return
        state.in_flight += 1
        state.max_in_flight = max(state.max_in_flight, state.in_flight)
        asyncio.get_running_loop().call_later(state.latency_s, self._send_delayed, response)

    def _send_delayed(self, response: bytes) -> None:
        self._state.in_flight -= 1
        self._send(response)

    def _send(self, response: bytes) -> None:
        if self._transport is not None:
            self._transport.write(response)


async def serve(port: int, *, latency_s: float, in_flight_limit: int | None) -> None:
    """Serve on loopback until cancelled."""
    state = StandInState(latency_s=latency_s, in_flight_limit=in_flight_limit)
    server = await asyncio.get_running_loop().create_server(
        lambda: StandInProtocol(state), "127.0.0.1", port, backlog=1024
    )
    await server.serve_forever()


async def ceiling(port: int, *, seconds: float, connections: int = 64) -> float:
    """Requests per second of a client that only repeats the same bytes: the upper bound of the stand-in server."""
    prompt = json.dumps({"label": "species number 4711", "domain": "birds"})
    filler = [{"role": "system", "content": "x" * 1_800}, {"role": "user", "content": f"Describe:\n{prompt}"}]
    body = json.dumps({"model": "standin", "messages": filler, "schema": "y" * 900}).encode()
    request = b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    end = time.monotonic() + seconds
    done = 0

    async def send_requests() -> None:
        nonlocal done
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < end:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(_LENGTH.search(head)[1]))  # type: ignore[index]
            done += 1
        writer.close()

    started = time.monotonic()
    await asyncio.gather(*(send_requests() for _ in range(connections)))
    return done / (time.monotonic() - started)


def main() -> None:
    """Run the command line; serves until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency-ms", type=float, default=0.0, help="delay of every response")
    parser.add_argument("--in-flight", type=int, help="limit of simultaneous requests; more get 429")
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.port, latency_s=arguments.latency_ms / 1000, in_flight_limit=arguments.in_flight))


if __name__ == "__main__":
    main()
