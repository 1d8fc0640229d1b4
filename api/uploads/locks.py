"""The lock of an upload, for all processes that share its folder, and the token of the request that may write.

A connection that was lost without a notice leaves a request that waits for its bytes. The next request for the same
upload takes the token, and the old one cannot write any more.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from store.errors import Conflict, NotFound
from store.uploads.places import UploadPlace

_WAIT_S = 5.0
_PAUSE_S = 0.01
_TOKEN_BYTES = 100


class WriterLock:
    """A held lock."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @property
    def token(self) -> str:
        """The token of the request that may write."""
        return os.pread(self._descriptor, _TOKEN_BYTES, 0).decode()

    def give_to(self, token: str) -> None:
        """Let only the request with this token write."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, token.encode(), 0)


@contextmanager
def locked(place: UploadPlace, *, wait_s: float = _WAIT_S) -> Iterator[WriterLock]:
    """Hold the lock. Raises Conflict `upload_busy` if another one holds it for `wait_s`, and NotFound."""
    try:
        descriptor = os.open(place.writer, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        raise NotFound("upload", place.folder.name) from None
    try:
        _acquire(descriptor, place, time.monotonic() + wait_s)
        yield WriterLock(descriptor)
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, place: UploadPlace, give_up_at: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > give_up_at:
                detail = f"another request writes or completes {place.folder.name}: try again in a moment"
                raise Conflict("upload_busy", detail) from None
            time.sleep(_PAUSE_S)
