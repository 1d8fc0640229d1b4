"""The body of an HTTP response, decoded: JSON in any charset, a stream of events, XML, HTML or text."""

import codecs
import json
import re
from dataclasses import dataclass
from html import unescape
from typing import Literal

from attributes.llm.http.streams import UnfinishedStream, joined_stream

BodyKind = Literal["json", "html", "text", "empty", "incomplete"]

MAX_PROSE_CHARS = 2_000  # of an error page
_CHARSET = re.compile(r"charset=[\"']?([\w.:-]+)", re.IGNORECASE)
_XML_FIELD = re.compile(r"<(?:\w+:)?(code|message|faultstring|reason)>\s*([^<]{1,1000})", re.IGNORECASE)
_CDATA = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_HTML = re.compile(r"\s*(<!--.*?-->\s*)*<(!doctype html|html|head|body|title|h1|center)\b", re.IGNORECASE | re.DOTALL)
_TITLES = re.compile(r"<(title|h1|h2)\b[^>]*>(.*?)</\1\s*>", re.IGNORECASE | re.DOTALL)
_HIDDEN = re.compile(r"<(script|style)\b.*?(</\1>|$)", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True)
class Body:
    """A decoded body. `data` is JSON, or an object with the `message` (and `code`) of a body of another kind.

    `incomplete` is JSON or a stream that breaks off.
    """

    kind: BodyKind
    data: object = None


def read_body(content: bytes, content_type: str = "") -> Body:
    """Decode a body. Its Content-Type is not used, because servers state wrong ones."""
    try:
        return Body("json", json.loads(content))
    except (ValueError, RecursionError):
        pass
    text = _decoded(content, content_type).strip("\ufeff \t\r\n\0")
    if not text:
        return Body("empty")
    try:
        return Body("json", json.loads(text, strict=False))
    except (ValueError, RecursionError):
        return _other_body(text)


def _other_body(text: str) -> Body:
    if _HTML.match(text):
        return Body("html", {"message": _page_text(text)})
    if text.startswith("<"):
        return Body("text", _xml_error(text))
    try:
        if (data := joined_stream(text)) is not None:
            return Body("json", data)
    except UnfinishedStream:
        return Body("incomplete", {"message": "the stream breaks off"})
    if text[0] in "{[":
        return Body("incomplete", {"message": f"JSON that breaks off or is malformed: {text[:MAX_PROSE_CHARS]}"})
    return Body("text", {"message": text[:MAX_PROSE_CHARS]})


def _decoded(content: bytes, content_type: str) -> str:
    """The text in UTF-8 if it is valid UTF-8, else in the charset that the header names, else in Windows-1252."""
    declared = _CHARSET.search(content_type)
    encodings = ["utf-16" if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"]
    encodings += [declared[1]] if declared else []
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except (ValueError, LookupError):
            continue
    return content.decode("cp1252", "replace")


def _xml_error(text: str) -> dict[str, str]:
    """The code and message of an XML error (Azure, AWS, API gateways)."""
    fields = {name.lower(): unescape(value).strip() for name, value in _XML_FIELD.findall(_CDATA.sub(r"\1", text))}
    message = fields.get("message") or fields.get("faultstring") or fields.get("reason") or _page_text(text)
    return {"code": fields.get("code", ""), "message": message}


def _page_text(text: str) -> str:
    """The titles of a page, and the start of its text."""
    titles = [_plain(title) for _, title in _TITLES.findall(text)]
    parts = [part for part in dict.fromkeys([*titles, _plain(_TITLES.sub(" ", _HIDDEN.sub(" ", text)))]) if part]
    return ". ".join(parts)[:MAX_PROSE_CHARS]


def _plain(markup: str) -> str:
    return " ".join(unescape(_TAG.sub(" ", markup)).split())
