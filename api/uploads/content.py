"""Writes the body of a request into the files of an upload, as it arrives.

Bytes are acknowledged in the database after they were written: a server that dies loses none of them. Bytes after the
acknowledged ones may be on the disk too; the next request writes them again.
"""

import errno
import os
import secrets
from contextlib import suppress
from typing import Self

from api.http.problems import ProblemError
from api.uploads.listing import StreamListing
from api.uploads.locks import locked
from store.db import Database
from store.errors import Conflict
from store.models import Upload
from store.uploads import uploads
from store.uploads.places import UploadPlace

_FULL = (errno.ENOSPC, errno.EDQUOT)


def offset_problem(row: Upload, code: str, detail: str) -> ProblemError:
    """A 409 that says how many bytes the service has."""
    return ProblemError(409, code, detail, headers={"Upload-Offset": str(row.received)})


def disk_problem(error: OSError) -> ProblemError:
    """The problem of a disk that cannot be written."""
    if error.errno in _FULL:
        return ProblemError(507, "upload_disk_full", "the disk of LIMBECK_UPLOAD_ROOT is full: free space and go on")
    return ProblemError(500, "upload_disk_failed", f"LIMBECK_UPLOAD_ROOT cannot be written: {error.strerror}")


class StreamWriter:
    """Writes bytes of the stream from `offset` on. Raises ProblemError, Conflict and NotFound."""

    def __init__(self, db: Database, place: UploadPlace, row: Upload, listing: StreamListing) -> None:
        self._db, self._place, self._row, self._listing = db, place, row, listing
        self._token = secrets.token_hex(8)
        self._open: tuple[int, int] | None = None
        self._start = self.offset = row.received

    @classmethod
    def begin(cls, db: Database, place: UploadPlace, row: Upload, listing: StreamListing, *, offset: int) -> Self:
        """Take the token of the upload, whose offset must be `offset`."""
        if offset != row.received:
            detail = f"Upload-Offset is {offset:,}, and the service has {row.received:,} bytes: go on from there"
            raise offset_problem(row, "offset_mismatch", detail)
        writer = cls(db, place, row, listing)
        with locked(place) as lock:
            lock.give_to(writer._token)
            # Nobody else can acknowledge bytes from here on.
            with db.read() as tx:
                now = uploads.get(tx, row.id)
                uploads.check_receiving(now)
                if now.received != offset:
                    raise offset_problem(now, "offset_mismatch", f"the service has {now.received:,} bytes by now")
        return writer

    def write(self, data: bytes) -> None:
        """Write the next bytes."""
        if self.offset + len(data) > self._listing.size:
            detail = f"the upload has {self._listing.size:,} bytes, and the body goes beyond them: compare the list"
            raise ProblemError(422, "beyond_the_end", detail)
        view, done = memoryview(data), 0
        with locked(self._place) as lock:
            self._check_token(lock.token)
            try:
                for at, first, number in self._listing.pieces(self.offset, len(data)):
                    _write_all(self._file(at), view[done : done + number], first)
                    done += number
            except OSError as error:
                raise disk_problem(error) from error
        self.offset += len(data)

    def acknowledge(self) -> int:
        """Store that the bytes were received; returns the new offset."""
        with locked(self._place) as lock:
            self._check_token(lock.token)
            if self.offset > self._start:
                with self._db.write() as tx:
                    uploads.advance(tx, self._row.id, start=self._start, end=self.offset)
        return self.offset

    def close(self) -> None:
        """Close the open file."""
        if self._open is not None:
            os.close(self._open[1])
            self._open = None

    def _check_token(self, token: str) -> None:
        if token != self._token:
            raise Conflict("upload_taken_over", "another request goes on with this upload: ask for its offset")

    def _file(self, at: int) -> int:
        """The descriptor of the file at a position of the listing."""
        if self._open is not None and self._open[0] == at:
            return self._open[1]
        self.close()
        path = self._place.archive
        if self._row.kind == "folder":
            path = self._place.files / self._listing.paths[at]
            path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        self._open = at, descriptor
        return descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self.close()


def _write_all(descriptor: int, data: memoryview, first: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, first)
        data, first = data[written:], first + written
