"""One pass over image files for all that use their pixels: each file is read, hashed and decoded at most once.

A consumer derives from a decoded image what it keeps of it: the student's stored pixels
(`distill.data.decoded_images`), the teacher's input (`distill.teacher.image_features`). Files are read and decoded by
threads, a bounded number of images ahead of the consumers. A file with known path and version (size, times, inode) is
not read again to be hashed.

The digest of an image identifies its decoded pixels: the sha256 of a file that every release decodes alike, and
otherwise a key of the sha256, the version of the decoder and the background on which transparent parts are shown. So
whatever is cached under these digests stays valid where decoding did not change, and is not found where it did.
Imports no torch. N images.
"""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from distill import Stopped
from distill.data.image_files.location import file_stamp, read_image
from distill.data.row_cache import KEY_BYTES, Keys, RowCache, key_of, stack_keys
from distill.hooks import PipelineHooks
from limbeck.shared.images.background import WHITE
from limbeck.shared.images.decode import DECODER, OpenedImage, PixelTraits, optional_readers
from limbeck.shared.images.unreadable import UnreadableImage

READ_AHEAD = 256
REPORT_EVERY = 32
FLUSH_EVERY_S = 30.0
UNREADABLE = b"unreadable".ljust(KEY_BYTES)
"""The digest of a file that cannot be read."""

T = TypeVar("T")
Mask = npt.NDArray[np.bool_]
Derived = npt.NDArray[Any]
ResultT = TypeVar("ResultT")


class LoadedImage(NamedTuple):
    """An image file: the digest of its pixels, and the decoded `image`, None with the `reason` if it is bad."""

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


def load_image(path: Path, background: str = WHITE) -> LoadedImage:
    """Read, hash and decode a file; its transparent parts show `background` (`#rrggbb`)."""
    data, sha256, reason = _read(path)
    if data is None:
        return LoadedImage(sha256, None, reason)
    opened = OpenedImage(data)
    image, reason = _decode(opened, background)
    return LoadedImage(_pixel_digest(sha256, opened.traits, background), image, reason)


def read_images(
    paths: Sequence[Path],
    consumers: Sequence[ImageConsumer],
    *,
    cache: Path,
    num_workers: int,
    hooks: PipelineHooks,
    background: str = WHITE,
) -> None:
    """Give each consumer the images that it needs, decoded by `num_workers` threads.

    `background` (`#rrggbb`): shown by transparent parts. Digests of files are cached in `cache`. Raises Stopped, and
    the errors of the consumers.
    """
    contents = FileContents(cache, background)
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
            _pass(paths, reading, contents, num_workers, hooks, background)
        for consumer in consumers:
            consumer.finish()
        for consumer, _ in reading[1:]:
            hooks.progress(len(paths), len(paths), consumer.unit)


def file_digests(paths: Sequence[Path], *, cache: Path, num_workers: int, hooks: PipelineHooks) -> Keys:
    """The sha256 (N, 32) of the content of each file, `UNREADABLE` for a file that cannot be read.

    Only files that are not known to `cache` are read. Raises Stopped.
    """
    contents = FileContents(cache)
    digests, known = contents.sha256(paths)
    _read_unknown(paths, digests, known, contents, lambda sha256, _traits: sha256, num_workers, hooks)
    return digests


def pixel_digests(
    paths: Sequence[Path], *, cache: Path, num_workers: int, hooks: PipelineHooks, background: str = WHITE
) -> Keys:
    """The digest (N, 32) of each image, as in `LoadedImage`, without decoding it.

    Only files that are not known to `cache` are read. Raises Stopped.
    """
    contents = FileContents(cache, background)
    digests, known = contents.known(paths)
    _read_unknown(paths, digests, known, contents, partial(_pixel_digest, background=background), num_workers, hooks)
    return digests


def _read_unknown(
    paths: Sequence[Path],
    digests: Keys,
    known: Mask,
    contents: "FileContents",
    digest_of: Callable[[bytes, PixelTraits], bytes],
    num_workers: int,
    hooks: PipelineHooks,
) -> None:
    """Read the files that are not `known` (N,), and fill in their rows of `digests` (N, 32)."""
    rows = np.flatnonzero(~known).tolist()

    def read(row: int) -> bytes:
        stamp = file_stamp(paths[row])
        data, sha256, _ = _read(paths[row])
        if data is None:
            return sha256
        traits = OpenedImage(data).traits
        contents.add(stamp, paths[row], sha256, traits)
        return digest_of(sha256, traits)

    with ExitStack() as at_end, ThreadPoolExecutor(num_workers, "hash") as pool:
        at_end.callback(contents.flush)
        for done, digest in enumerate(read_ahead(pool, read, rows)):
            digests[rows[done]] = np.frombuffer(digest, dtype=np.uint8)
            if done and done % REPORT_EVERY == 0:
                hooks.progress(done, len(rows), "pictures")
                if hooks.stop_requested():
                    raise Stopped(f"{done} of {len(rows)} images read")
                contents.flush_if_due()


class FileContents:
    """The digests of images by path and version of their files (`distill.data.files.regular_files`), cached on disk.

    A row holds the sha256 of a file and its traits, from which the digest for any background follows.
    """

    def __init__(self, cache: Path, background: str = WHITE) -> None:
        self._background = background
        # Not the folder `image/contents` of earlier releases, which does not say how a file is to be decoded.
        self._rows = RowCache(cache / "files" / "contents", width=KEY_BYTES + 1, dtype=np.uint8)
        self._new: dict[bytes, bytes] = {}
        self._flushed_at = time.monotonic()

    def known(self, paths: Sequence[Path]) -> tuple[Keys, Mask]:
        """The digest (N, 32) of each image, and whether it is known (N,): its file was read and has not changed."""
        rows, known = self._stored(paths)
        digests = np.ascontiguousarray(rows[:, :KEY_BYTES])
        for at in np.flatnonzero(rows[:, KEY_BYTES]):  # the others have no traits
            digest = _pixel_digest(digests[at].tobytes(), PixelTraits(int(rows[at, KEY_BYTES])), self._background)
            digests[at] = np.frombuffer(digest, dtype=np.uint8)
        return digests, known

    def sha256(self, paths: Sequence[Path]) -> tuple[Keys, Mask]:
        """The sha256 (N, 32) of each file, and whether it is known (N,)."""
        rows, known = self._stored(paths)
        return np.ascontiguousarray(rows[:, :KEY_BYTES]), known

    def _stored(self, paths: Sequence[Path]) -> tuple[Keys, Mask]:
        return self._rows.get(stack_keys(file_stamp(path) or bytes(KEY_BYTES) for path in paths))

    def add(self, stamp: bytes | None, path: Path, sha256: bytes, traits: PixelTraits) -> None:
        """Remember a file, if its stamp is the same after reading as before. Called by many threads."""
        if stamp is not None and stamp == file_stamp(path):
            self._new[stamp] = sha256 + bytes([traits])

    def flush_if_due(self) -> None:
        """Write the new rows if the last write was long ago."""
        if time.monotonic() - self._flushed_at > FLUSH_EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Write the new rows."""
        new = dict(self._new)
        for stamp in new:
            del self._new[stamp]
        rows = np.frombuffer(b"".join(new.values()), dtype=np.uint8).reshape(-1, KEY_BYTES + 1)
        self._rows.add(stack_keys(new.keys()), rows)
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
    background: str,
) -> None:
    rows = np.flatnonzero(np.logical_or.reduce([needed for _, needed in reading]))
    unit, num_known = reading[0][0].unit, len(paths) - len(rows)

    def read(row: int) -> _ReadImage:
        path, by_number = paths[row], {n: consumer for n, (consumer, needed) in enumerate(reading) if needed[row]}
        stamp = file_stamp(path)
        data, digest, reason = _read(path)
        derived: dict[int, Derived | None] = dict.fromkeys(by_number)
        reasons = dict.fromkeys(by_number, reason)
        if data is None:  # a file that cannot be read is tried again in the next run
            return _ReadImage(row, digest, derived, reasons)
        opened = OpenedImage(data)
        contents.add(stamp, path, digest, opened.traits)
        digest = _pixel_digest(digest, opened.traits, background)
        wanting = {n: consumer for n, consumer in by_number.items() if consumer.wants(digest)}
        if wanting:
            image, reason = _decode(opened, background)
            for n, consumer in wanting.items():
                derived[n], reasons[n] = (None, reason) if image is None else _derive(consumer, image)
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


def _pixel_digest(sha256: bytes, traits: PixelTraits, background: str) -> bytes:
    """The digest of the pixels of a file with these traits."""
    if traits == PixelTraits.NONE:
        return sha256
    return key_of(
        DECODER,
        sha256,
        background if PixelTraits.TRANSPARENT in traits else "",
        optional_readers() if PixelTraits.OPTIONAL in traits else "",
    )


def _decode(opened: OpenedImage, background: str) -> tuple[Image.Image | None, str]:
    """The pixels, or None and the reason why the image is bad."""
    try:
        return opened.rgb(background), ""
    except UnreadableImage as error:
        return None, str(error)


def _derive(consumer: ImageConsumer, image: Image.Image) -> tuple[Derived | None, str]:
    try:
        return consumer.derive(image), ""
    except MemoryError:
        raise
    except Exception as error:  # such as an image too narrow to be resized
        return None, f"{type(error).__name__}: {error}"[:300]
