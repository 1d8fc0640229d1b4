"""An LLM that costs next to nothing: `python -m benchmarks.standin --port P [--latency-ms 500] [--in-flight 64]`.

Every question about a label gets an answer as `describe@1` wants it, after the latency. Of a request no more is read
than its length and the label, so that what is measured is who asks. More calls at a time than are allowed get 429.
`GET /stats` tells what it saw.
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
from typing import Any, cast

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
# The label stands in a line of JSON within the JSON of the body; nothing else there is escaped so. Within it: quotes
# and backslashes, escaped twice, and what JSON spells by numbers.
_LABEL = re.compile(rb'\{\\"label\\": \\"((?:[^"\\]|\\\\\\"|\\\\\\\\|\\u)*)\\"')
_PARTS = ("bill", "crown", "back", "tail", "legs", "wings")
_USAGE = {"prompt_tokens": 420, "completion_tokens": 190, "total_tokens": 610}


def answer(label: bytes) -> bytes:
    """A response with a valid answer about the label, which is given as it stood in the request.

    What it says is the label's own, out of 512 made-up words, so that gates find nothing to ask again about.
    """
    mixed = _MIXED.unpack(blake2b(label, digest_size=_MIXED.size).digest())
    words = [b"%s %s %s" % (_WORDS[mix >> 23], _WORDS[mix >> 14 & 511], _WORDS[mix >> 5 & 511]) for mix in mixed]
    body = _BODY % (label, *words, *(word for word in words for _ in range(2)))
    return _HEAD % len(body) + body


def _body_of_answer() -> bytes:
    """With places for the label, for a word a part in the sentence, and for that of each part's value and phrase."""
    said = {
        "label": "%s",
        "sentence": "A slender body with a " + ", a ".join(f"%s {part}" for part in _PARTS),
        "phrases": [{"part": part, "value": "%s", "phrase": f"a long %s {part}"} for part in _PARTS],
    }
    message = {"role": "assistant", "content": json.dumps(said), "refusal": None}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "standin",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": _USAGE,
    }
    return json.dumps(body).encode()


_BODY = _body_of_answer()
_MIXED = Struct(f"<{len(_PARTS)}I")
_SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvwzx" for vowel in "aeio"]
_WORDS = [(first + second).encode() for first in _SYLLABLES for second in _SYLLABLES[::8]]
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
_TOO_MANY = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 2\r\n\r\n{}"


def busiest(times: Sequence[float], window_s: float) -> int:
    """The most of these moments, which are in order, that lie within any `window_s` seconds."""
    return max((at - bisect_left(times, moment - window_s) + 1 for at, moment in enumerate(times)), default=0)


class Standin:
    """What all connections share."""

    def __init__(self, *, latency_s: float, most_in_flight: int | None) -> None:
        self.latency_s, self.most_in_flight = latency_s, most_in_flight
        self.in_flight = self.max_in_flight = self.refused = 0
        self.times = array("d")

    def stats(self) -> dict[str, Any]:
        """Calls since the start, in whole and in time (seconds of this machine's monotonic clock)."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "calls": len(self.times),
            "refused": self.refused,
            "max_in_flight": self.max_in_flight,
            "first_at": self.times[0] if self.times else None,
            "last_at": self.times[-1] if self.times else None,
            "cpu_s": used.ru_utime + used.ru_stime,
        }


class Line(asyncio.Protocol):
    """One connection, kept alive; a client sends its next request after the answer to the last."""

    def __init__(self, server: Standin) -> None:
        self._server = server
        self._held = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's is none by name

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        held = self._held + data if self._held else data
        end = held.find(b"\r\n\r\n")
        length = int(found[1]) if (found := _LENGTH.search(held, 0, end + 2)) else 0
        if end < 0 or len(held) < end + 4 + length:
            self._held = held
            return
        self._held = b""
        self._asked(held, end + 4)

    def _asked(self, request: bytes, start: int) -> None:
        server = self._server
        if request.startswith(b"GET"):
            told: dict[str, Any] | list[float] = server.times.tolist() if b"/times" in request[:20] else server.stats()
            body = json.dumps(told).encode()
            self._send(_HEAD % len(body) + body)
            return
        server.times.append(time.monotonic())
        if server.most_in_flight is not None and server.in_flight >= server.most_in_flight:
            server.refused += 1
            self._send(_TOO_MANY)
            return
        found = _LABEL.search(request, start)
        reply = answer(found[1] if found else b"")
        if not server.latency_s:
            self._send(reply)
            return
        server.in_flight += 1
        server.max_in_flight = max(server.max_in_flight, server.in_flight)
        asyncio.get_running_loop().call_later(server.latency_s, self._answered, reply)

    def _answered(self, reply: bytes) -> None:
        self._server.in_flight -= 1
        self._send(reply)

    def _send(self, reply: bytes) -> None:
        if self._transport is not None:
            self._transport.write(reply)


async def serve(port: int, *, latency_s: float, most_in_flight: int | None) -> None:
    """Serve on loopback until cancelled."""
    standin = Standin(latency_s=latency_s, most_in_flight=most_in_flight)
    server = await asyncio.get_running_loop().create_server(lambda: Line(standin), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


async def ceiling(port: int, *, seconds: float, connections: int = 64) -> float:
    """Calls a second that a client gets which does nothing but send the same bytes again."""
    prompt = json.dumps({"label": "species number 4711", "domain": "birds"})
    filler = [{"role": "system", "content": "x" * 1_800}, {"role": "user", "content": f"Describe:\n{prompt}"}]
    body = json.dumps({"model": "standin", "messages": filler, "schema": "y" * 900}).encode()
    request = b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    end = time.monotonic() + seconds
    done = 0

    async def one() -> None:
        nonlocal done
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < end:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(_LENGTH.search(head)[1]))  # type: ignore[index]
            done += 1
        writer.close()

    started = time.monotonic()
    await asyncio.gather(*(one() for _ in range(connections)))
    return done / (time.monotonic() - started)


def main() -> None:
    """Serve until asked to end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--in-flight", type=int)
    asked = parser.parse_args()
    uvloop.run(serve(asked.port, latency_s=asked.latency_ms / 1000, most_in_flight=asked.in_flight))


if __name__ == "__main__":
    main()
