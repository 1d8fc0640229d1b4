"""One pass over image files for all that use their pixels: each file is read, hashed and decoded at most once.

A consumer derives from a decoded image what it keeps of it: the student's stored pixels
(`distill.data.decoded_images`), the teacher's input (`distill.teacher.image_features`). Files are read and decoded by
threads, a bounded number of images ahead of the consumers. A file with known path, size and modification time is not
read again to be hashed. Imports no torch. N images.
"""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from distill import Stopped
from distill.data.row_cache import KEY_BYTES, Keys, RowCache, stack_keys
from distill.data.shards import file_stamp, read_image
from distill.hooks import PipelineHooks
from limbeck.shared.images.decode import open_rgb

READ_AHEAD = 256
REPORT_EVERY = 32
FLUSH_EVERY_S = 30.0
UNREADABLE = b"unreadable".ljust(KEY_BYTES)
"""The digest of a file that cannot be read."""

T = TypeVar("T")
Mask = npt.NDArray[np.bool_]
Derived = npt.NDArray[Any]


class LoadedImage(NamedTuple):
    """An image file: the sha256 of its content, and the decoded `image`, None with the `reason` if it is bad."""

    digest: bytes
    image: Image.Image | None
    reason: str = ""


class ImageConsumer(Protocol):
    """Keeps something of each image of a pass. `unit`: of its progress (`distill.hooks`)."""

    unit: str

    def begin(self, digests: Keys, known: Mask) -> Mask:
        """The images (N,) that this consumer needs. `digests` (N, 32): of the files that are `known` (N,)."""

    def wants(self, digest: bytes) -> bool:
        """Whether an image with this content must be decoded. Called by many threads."""

    def derive(self, image: Image.Image) -> Derived:
        """What this consumer keeps of an image. Called by many threads; an exception makes the image bad."""

    def accept(self, row: int, digest: bytes, derived: Derived | None, reason: str) -> None:
        """Take an image, in the order of the rows; `derived` is None if it is bad for `reason` or is not wanted."""

    def finish(self) -> None:
        """Called after the last image."""

    def close(self) -> None:
        """Called at the end, also after an error or a stop."""


def load_image(path: Path) -> LoadedImage:
    """Read, hash and decode a file."""
    data, digest, reason = _read(path)
    return LoadedImage(digest, None, reason) if data is None else _decode(data, digest)


def read_images(
    paths: Sequence[Path],
    consumers: Sequence[ImageConsumer],
    *,
    cache: Path,
    num_workers: int,
    hooks: PipelineHooks,
) -> None:
    """Give each consumer the images that it needs, decoded by `num_workers` threads.

    Digests of files are cached in `cache`. Raises Stopped, and the errors of the consumers.
    """
    contents = FileContents(cache)
    with ExitStack() as at_end:  # in reverse order: every consumer is closed, also if writing the digests fails
        at_end.callback(contents.flush)
        for consumer in consumers:
            at_end.callback(consumer.close)
        digests, known = contents.known(paths)
        reading = []
        for consumer in consumers:
            needed = consumer.begin(digests, known)
            if needed.any():
                reading.append((consumer, needed))
            else:
                hooks.progress(len(paths), len(paths), consumer.unit)
        if reading:
            _pass(paths, reading, contents, num_workers, hooks)
        for consumer in consumers:
            consumer.finish()
        for consumer, _ in reading[1:]:
            hooks.progress(len(paths), len(paths), consumer.unit)


class FileContents:
    """The sha256 of files by path, size and modification time, cached on disk."""

    def __init__(self, cache: Path) -> None:
        self._rows = RowCache(cache / "image" / "contents", width=KEY_BYTES, dtype=np.uint8)
        # Where earlier versions kept the contents of decoded images; their caches stay valid.
        self._earlier = RowCache(cache / "pixels" / "contents", width=KEY_BYTES, dtype=np.uint8)
        self._new: dict[bytes, bytes] = {}
        self._flushed_at = time.monotonic()

    def known(self, paths: Sequence[Path]) -> tuple[Keys, Mask]:
        """The sha256 (N, 32) of each file, and whether it is known (N,): not new, and not changed since it was read."""
        stamps = stack_keys(file_stamp(path) or bytes(KEY_BYTES) for path in paths)
        digests, known = self._rows.get(stamps)
        rest = np.flatnonzero(~known)
        digests[rest], known[rest] = self._earlier.get(stamps[rest])
        return digests, known

    def add(self, stamp: bytes | None, path: Path, digest: bytes) -> None:
        """Remember the digest of a file, if its stamp is the same after reading as before. Called by many threads."""
        if stamp is not None and stamp == file_stamp(path):
            self._new[stamp] = digest

    def flush_if_due(self) -> None:
        """Write the new digests if the last write was long ago."""
        if time.monotonic() - self._flushed_at > FLUSH_EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Write the new digests."""
        new = dict(self._new)
        for stamp in new:
            del self._new[stamp]
        self._rows.add(stack_keys(new.keys()), stack_keys(new.values()))
        self._flushed_at = time.monotonic()


class _ReadImage(NamedTuple):
    """One image of a pass: what `derived` and the `reasons` hold for each consumer that needs it, by its number."""

    row: int
    digest: bytes
    derived: dict[int, Derived | None]
    reasons: dict[int, str]


def _pass(
    paths: Sequence[Path],
    reading: Sequence[tuple[ImageConsumer, Mask]],
    contents: FileContents,
    num_workers: int,
    hooks: PipelineHooks,
) -> None:
    rows = np.flatnonzero(np.logical_or.reduce([needed for _, needed in reading]))
    unit, num_known = reading[0][0].unit, len(paths) - len(rows)

    def read(row: int) -> _ReadImage:
        path, by_number = paths[row], {n: consumer for n, (consumer, needed) in enumerate(reading) if needed[row]}
        stamp = file_stamp(path)
        data, digest, reason = _read(path)
        if data is not None:  # a file that cannot be read is tried again in the next run
            contents.add(stamp, path, digest)
        derived: dict[int, Derived | None] = dict.fromkeys(by_number)
        reasons = dict.fromkeys(by_number, reason)
        wanting = {n: consumer for n, consumer in by_number.items() if data is not None and consumer.wants(digest)}
        if data is not None and wanting:
            file = _decode(data, digest)
            for n, consumer in wanting.items():
                derived[n], reasons[n] = (None, file.reason) if file.image is None else _derive(consumer, file.image)
        return _ReadImage(row, digest, derived, reasons)

    with ThreadPoolExecutor(num_workers, "decode") as pool:
        for done, image in enumerate(read_ahead(pool, read, rows.tolist())):
            if done % REPORT_EVERY == 0:
                hooks.progress(num_known + done, len(paths), unit)
                if hooks.stop_requested():
                    raise Stopped(f"{num_known + done} of {len(paths)} images read")
                contents.flush_if_due()
            for n, derived in image.derived.items():
                reading[n][0].accept(image.row, image.digest, derived, image.reasons[n])
    hooks.progress(len(paths), len(paths), unit)


def read_ahead(pool: ThreadPoolExecutor, read: Callable[[int], T], rows: Sequence[int]) -> Iterator[T]:
    """The results of `read` for each row, in order, at most `READ_AHEAD` of them ahead."""
    waiting: deque[Future[T]] = deque()
    try:
        for row in rows:
            waiting.append(pool.submit(read, row))
            if len(waiting) > READ_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _read(path: Path) -> tuple[bytes | None, bytes, str]:
    """Content, sha256, and the reason why the file cannot be read."""
    try:
        data = read_image(path)
    except OSError as error:
        return None, UNREADABLE, f"{type(error).__name__}: {error.strerror}"
    return data, hashlib.sha256(data).digest(), ""


def _decode(data: bytes, digest: bytes) -> LoadedImage:
    try:
        return LoadedImage(digest, open_rgb(data))
    except MemoryError:
        raise
    except Exception as error:  # decoders raise any exception; a bad image must not end the run
        return LoadedImage(digest, None, f"{type(error).__name__}: {error}"[:300])


def _derive(consumer: ImageConsumer, image: Image.Image) -> tuple[Derived | None, str]:
    try:
        return consumer.derive(image), ""
    except MemoryError:
        raise
    except Exception as error:  # such as an image too narrow to be resized
        return None, f"{type(error).__name__}: {error}"[:300]
