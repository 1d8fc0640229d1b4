"""Bodies that are not plain JSON in UTF-8: charsets, streams, pages, XML, and bodies that break off."""

import gzip
import json
from typing import Any

import pytest

from tests.attributes.fake_llm import completion
from tests.attributes.llm.http.conftest import Sender

ANSWER = "Größe: müde – rot"
WHOLE = completion(ANSWER)
RAW = json.dumps(WHOLE, ensure_ascii=False)
MESSAGE = json.dumps({"error": {"message": "Schlüssel ungültig"}}, ensure_ascii=False)


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (RAW.encode(), "text/plain"),
        (b"\xef\xbb\xbf" + RAW.encode(), "application/json"),
        (RAW.encode("utf-16"), "application/json"),
        (RAW.encode("utf-16-le"), "application/json"),
        (RAW.encode("cp1252"), "application/json; charset=windows-1252"),
        (RAW.encode("cp1252"), "application/json"),
        (RAW.encode("cp1252"), "application/json; charset=no-such"),
        (b"\n\n   \n" + RAW.encode(), "application/json"),
        (RAW.replace(" rot", "\\u0001 rot\t").encode().replace(b"\\u0001 ", b" \x01"), "application/json"),
    ],
)
@pytest.mark.quirk("gateways", "JSON in latin-1, UTF-16, with a byte order mark or control characters", "it is read")
def test_json_is_read_in_any_charset(content: bytes, content_type: str, send: Sender) -> None:
    raw = send(content, 200, {"Content-Type": content_type})
    assert raw.status == "ok"
    assert " ".join((raw.text or "").replace("\x01", "").split()) == ANSWER


def test_an_error_in_latin_1_keeps_its_letters(send: Sender) -> None:
    assert "Schlüssel ungültig" in send(MESSAGE.encode("latin-1"), 400).detail


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> str:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return json.dumps({"object": "chat.completion.chunk", "choices": choices} | more)


CHUNKS = [
    chunk({"role": "assistant", "content": "", "reasoning_content": "hm"}),
    chunk({"content": "a "}),
    chunk({"content": "robin"}),
    chunk({}, "stop"),
    json.dumps({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}}),
]
STREAMED = "its pieces are joined to one answer"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            "".join(f"data: {one}\n\n" for one in [*CHUNKS, "[DONE]"]),
            marks=pytest.mark.quirk("gateways", "a stream of events, although none was requested", STREAMED),
        ),
        "".join(f"data:{one}\r\n\r\n" for one in CHUNKS),
        ": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n" + "".join(f"data: {one}\n\n" for one in CHUNKS),
        "".join(f"event: message\nid: 1\ndata: {one}\n\n" for one in CHUNKS),
        "".join(f"data: {one}\n" for one in CHUNKS),
        pytest.param(
            "\n".join(CHUNKS), marks=pytest.mark.quirk("gateways", "a stream of JSON lines", STREAMED), id="JSON lines"
        ),
        "data: " + json.dumps(completion("a robin") | {"usage": {"prompt_tokens": 9, "completion_tokens": 4}}) + "\n\n",
    ],
)
@pytest.mark.parametrize("content_type", ["text/event-stream", "application/json"])
def test_a_streamed_completion_is_joined(content_type: str, body: str, send: Sender) -> None:
    raw = send(body.encode(), 200, {"Content-Type": content_type})
    assert (raw.status, raw.text, raw.cut_off) == ("ok", "a robin", False)
    assert (raw.prompt_tokens, raw.completion_tokens) == (9, 4)


def test_a_streamed_tool_call_and_a_limit_are_read(send: Sender) -> None:
    pieces = [chunk({"tool_calls": [{"index": 0, "function": {"arguments": part}}]}) for part in ('{"a":', " 1}")]
    body = "".join(f"data: {one}\n\n" for one in [*pieces, chunk({}, "tool_calls")])
    assert send(body.encode()).text == '{"a": 1}'
    body = "".join(f"data: {one}\n\n" for one in [chunk({"content": "a "}), chunk({}, "length")])
    assert send(body.encode()).cut_off


@pytest.mark.parametrize(
    "body",
    [
        'data: {"error": {"message": "no memory", "code": 503}}\n\ndata: [DONE]\n\n',
        'event: error\ndata: {"message": "no memory", "code": 503}\n\n',
        f'data: {CHUNKS[1]}\n\ndata: {{"error": {{"message": "no memory", "code": 503}}}}\n\n',
        "event: error\ndata: no memory\n\n",
    ],
)
@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.quirk(
    "Ollama, OpenRouter, Groq", "an error in a stream of events", "it is read; a draft before it is dropped"
)
def test_an_error_in_a_stream_is_read(status: int, body: str, send: Sender) -> None:
    raw = send(body.encode(), status)
    assert (raw.status, raw.text) == ("server_error", None)
    assert "no memory" in raw.detail


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"", {}),
        (b" \n", {}),
        (RAW.encode()[:-20], {}),
        (b"[", {}),
        (f"data: {CHUNKS[0]}\n\ndata: {CHUNKS[1]}\n\n".encode(), {}),
        (gzip.compress(RAW.encode() * 50)[:-300], {"Content-Encoding": "gzip"}),
        (b"no gzip at all", {"Content-Encoding": "gzip"}),
    ],
)
@pytest.mark.quirk("gateways", "a body that is empty or breaks off", "the connection broke: a retry in the same format")
def test_a_response_that_breaks_off_is_a_broken_connection(
    content: bytes, headers: dict[str, str], send: Sender
) -> None:
    raw = send(content, 200, headers)
    assert (raw.status, raw.text) == ("connection", None)


def test_a_compressed_response_is_read(send: Sender) -> None:
    assert send(gzip.compress(RAW.encode()), 200, {"Content-Encoding": "gzip"}).text == ANSWER


def test_a_response_without_content_is_a_broken_connection(send: Sender) -> None:
    assert send(b"", 204).status == "connection"


@pytest.mark.parametrize(
    ("body", "status", "expected", "shown"),
    [
        pytest.param(
            b'<?xml version="1.0"?><Error><Code>ServerBusy</Code><Message>Ingress &amp; egress over</Message></Error>',
            503,
            "server_error",
            "Ingress & egress over",
            marks=pytest.mark.quirk("Azure, AWS gateways", "an error in XML", "its code and message are read"),
        ),
        (b"<Error><Code>content_filter</Code><Message>no</Message></Error>", 400, "refused", "no"),
        (b"<html><title>504 Gateway Time-out</title><script>x()</script></html>", 504, "server_error", "504 Gateway"),
        (b"upstream connect error or disconnect/reset before headers", 503, "server_error", "upstream connect error"),
    ],
)
def test_pages_and_xml_are_read(body: bytes, status: int, expected: str, shown: str, send: Sender) -> None:
    raw = send(body, status)
    assert raw.status == expected
    assert shown in raw.detail
    assert "x()" not in raw.detail


def test_a_page_with_a_title_only_is_its_title(send: Sender) -> None:
    raw = send(b"<html><head><title>502 Bad Gateway</title></head></html>", 502)
    assert raw.detail == "HTTP 502 with an HTML page: 502 Bad Gateway"
