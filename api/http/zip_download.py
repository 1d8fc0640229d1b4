"""Download several artefacts as one ZIP archive, with constant memory: nothing is compressed, and nothing is kept.

The archive is made while it is sent, so it has no Content-Length and no ranges. The transfer ends without its last
chunk if a file cannot be read, so that no client takes a part for the whole.
"""

import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from starlette.responses import StreamingResponse

from api.http.downloads import StoredFile, open_at
from store.artefacts import Artefacts

_BLOCK_BYTES = 2**20
_EARLIEST = datetime(1980, 1, 1, tzinfo=UTC)  # the format has no time before
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A ZIP archive of all files",
        "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@dataclass(frozen=True)
class ZippedFile:
    """A file of the archive, and its path there."""

    path: str
    file: StoredFile


def zip_response(
    artefacts: Artefacts, members: Sequence[ZippedFile], *, name: str, made_at: float
) -> StreamingResponse:
    """The archive `name`.zip, with all members in the folder `name`. `made_at`: their time, in seconds of the epoch.

    Raises ProblemError 410 if a file is gone.
    """
    for member in members:
        open_at(artefacts, member.file, 0).close()
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}.zip",
        "Cache-Control": "private, no-cache",
    }
    return StreamingResponse(_blocks(artefacts, members, name, made_at), headers=headers, media_type="application/zip")


class _Written(io.RawIOBase):
    """What was written since the last `take`. It cannot seek, so `zipfile` writes sizes after the contents."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        part = bytes(data)  # type: ignore[call-overload]
        self._parts.append(part)
        return len(part)

    def take(self) -> bytes:
        found = b"".join(self._parts)
        self._parts.clear()
        return found


def _blocks(artefacts: Artefacts, members: Sequence[ZippedFile], name: str, made_at: float) -> Iterator[bytes]:
    at = max(datetime.fromtimestamp(made_at, UTC), _EARLIEST)
    written = _Written()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        for member in members:
            info = zipfile.ZipInfo(f"{name}/{member.path}", at.timetuple()[:6])
            info.external_attr = 0o644 << 16
            info.file_size = member.file.size  # large files need larger headers
            left = member.file.size
            with open_at(artefacts, member.file, 0) as source, archive.open(info, "w") as target:
                while left:
                    block = source.read(min(_BLOCK_BYTES, left))
                    if not block:
                        raise OSError(f"{member.path}: the stored file is shorter than its recorded size")
                    left -= len(block)
                    target.write(block)
                    yield written.take()
    yield written.take()
