"""Download artefacts: ETag (the sha256), Range, If-Range, If-None-Match and HEAD (RFC 9110), with constant memory.

Local and remote artefacts are streamed the same way: a thread reads one block at a time.
"""

import base64
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import quote

import anyio.to_thread
from fastapi import Request
from starlette.responses import Response, StreamingResponse

from api.http.problems import ProblemError
from store.artefacts import Artefacts
from store.blobs.reading import Composed, ComposedStream, open_content

_BLOCK_BYTES = 2**20
_MEDIA_TYPES = {
    "json": "application/json",
    "jsonl": "application/jsonl",
    "md": "text/markdown; charset=utf-8",
    "txt": "text/plain; charset=utf-8",
    "png": "image/png",
    "svg": "image/svg+xml",
}

_BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The whole file", "content": _BINARY},
    206: {"description": "The requested range", "content": _BINARY},
    304: {"description": "If-None-Match names the file's ETag"},
    416: {"description": "The range starts after the end of the file"},
}


@dataclass(frozen=True)
class StoredFile:
    """A file of the artefact store. `size` is in bytes; `name` is the name of the downloaded file."""

    content: Composed
    sha256: str
    size: int
    name: str


def file_response(request: Request, artefacts: Artefacts, file: StoredFile) -> Response:
    """The response to a GET or HEAD. Raises ProblemError: 416 for a range out of bounds, 410 if the file is gone.

    A HEAD is answered from the row alone: opening a file of a remote store costs a request there.
    """
    etag = f'"{file.sha256}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(file.sha256)).decode()}:",
        # The content of a path never changes, but the permission to read it can.
        "Cache-Control": "private, no-cache",
    }
    if _matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    start, stop = _range(request.headers, etag, file.size)
    headers["Content-Length"] = str(stop - start)
    headers["Content-Type"] = _MEDIA_TYPES.get(file.name.rpartition(".")[2].lower(), "application/octet-stream")
    headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(file.name, safe='')}"
    status = 200
    if (start, stop) != (0, file.size):
        status = 206
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    return StreamingResponse(_blocks(open_at(artefacts, file, start), stop - start), status, headers)


def open_at(artefacts: Artefacts, file: StoredFile, start: int) -> IO[bytes] | ComposedStream:
    """The content from byte `start`. Raises ProblemError 410 if it is gone."""
    try:
        stream = open_content(artefacts, file.content)
    except FileNotFoundError as error:
        raise ProblemError(410, "file_gone", f"{file.name} is no longer in the artefact store") from error
    stream.seek(start)
    return stream


async def _blocks(stream: IO[bytes] | ComposedStream, num_bytes: int) -> AsyncIterator[bytes]:
    with stream:
        while num_bytes:
            block = await anyio.to_thread.run_sync(stream.read, min(_BLOCK_BYTES, num_bytes))
            if not block:
                raise OSError("the stored file is shorter than its recorded size")
            num_bytes -= len(block)
            yield block


def _matches(header: str | None, etag: str) -> bool:
    if header is None:
        return False
    return header.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in header.split(","))


def _range(headers: Mapping[str, str], etag: str, size: int) -> tuple[int, int]:
    """The byte range [start, stop) to send.

    This is the whole file if Range is absent, malformed or has several ranges, or if If-Range names another ETag.
    """
    if_range = headers.get("if-range")
    match = re.fullmatch(r"\s*bytes\s*=\s*([0-9]{0,18})-([0-9]{0,18})\s*", headers.get("range", ""), re.IGNORECASE)
    if match is None or match[0].strip().endswith("=-") or (if_range is not None and if_range.strip() != etag):
        return 0, size
    first, last = match[1], match[2]
    if first and last and int(first) > int(last):
        return 0, size
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= size:
        raise ProblemError(
            416, "range_not_satisfiable", f"the file has {size} bytes", headers={"Content-Range": f"bytes */{size}"}
        )
    return start, stop
