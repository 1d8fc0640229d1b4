"""A minimal HTTP/1.1 implementation for the stand-in LLM: requests, replies, and errors in the format of OpenAI."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_BODY_BYTES = 64 * 2**20  # a batch file of about ten thousand requests
_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class CloseConnection(Exception):
    """Close this connection without sending the rest of the reply."""


@dataclass(frozen=True)
class HttpRequest:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class HttpReply:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    is_cut: bool = False  # send half of the body, then close the connection


def json_reply(status: int, content: object, **headers: str) -> HttpReply:
    return HttpReply(status, json.dumps(content, ensure_ascii=False).encode(), {**headers})


def error_reply(status: int, message: str, code: str, **headers: str) -> HttpReply:
    kind = "invalid_request_error" if status < 429 else "rate_limit_error" if status == 429 else "server_error"
    return json_reply(status, {"error": {"message": message, "type": kind, "param": None, "code": code}}, **headers)


async def read_request(reader: asyncio.StreamReader) -> HttpRequest | None:
    """The next request, or None if the client closed the connection between requests."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.rstrip("\r\n").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    method, _, rest = first.partition(" ")
    length = headers.get("content-length", "0")
    size = min(int(length), MAX_BODY_BYTES + 1) if length.isdigit() else 0
    return HttpRequest(method, rest.split(" ")[0], headers, await reader.readexactly(size))


def reply_bytes(reply: HttpReply) -> bytes:
    lines = [
        f"HTTP/1.1 {reply.status} {_REASONS.get(reply.status, 'Status')}",
        "Content-Type: application/json",
        f"Content-Length: {len(reply.body)}",
        *(f"{k}: {v}" for k, v in reply.headers.items()),
    ]
    body = reply.body[: len(reply.body) // 2] if reply.is_cut else reply.body
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
