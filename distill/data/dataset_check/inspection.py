"""Facts about the content of image files: whether each can be decoded, its size and kind, and a small thumbnail.

Each file is read, hashed and decoded once; the facts are cached by its content, and its sha256 by its path, size and
time (`distill.data.image_store`): a second inspection opens no file, and a training afterwards hashes none. JPEG files
are decoded at a fraction of their size, which finds damaged files as well. A file that cannot be decoded this way is
bad only if `limbeck.shared.images.decode.open_rgb`, which training uses, cannot decode it either. Imports no torch. N
images.
"""

import hashlib
import io
import struct
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from distill import Stopped
from distill.data.image_files.location import file_stamp, read_image
from distill.data.image_store import FLUSH_EVERY_S, REPORT_EVERY, UNREADABLE, FileContents, Mask, read_ahead
from distill.data.row_cache import Keys, RowCache, stack_keys
from distill.hooks import PipelineHooks
from limbeck.shared.images.decode import FORMATS, OpenedImage
from limbeck.shared.images.properties import ImageProperties
from limbeck.shared.images.unreadable import UnreadableImage

THUMBNAIL_PX, CHROMA_PX = 16, 4
THUMBNAIL_BYTES = THUMBNAIL_PX**2 + 2 * CHROMA_PX**2
UNIT = "images"
QUIET_S = 1.0
"""Shorter inspections report no progress."""
_FORMAT = "facts-1"
_HEADER = struct.Struct("<IIB")
_ROW_BYTES = _HEADER.size + THUMBNAIL_BYTES
_DRAFT_PX = 4 * THUMBNAIL_PX
_JPEG_START = b"\xff\xd8"
_PLAIN_MODES = ("RGB", "L")
_KINDS = ("rotated", "transparent", "deep", "animated")

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ImageFacts:
    """Facts about N files. `digests` (N, 32): sha256 of the contents. `readable` (N,); `reasons`: of the other rows.

    `sides_px` (N, 2) int64: width and height as shown; zeros for a file that is not readable. `thumbnails` (N, 288):
    16 x 16 luma values, then 4 x 4 of each chroma. `kinds`: masks (N,) by `rotated`, `transparent`, `deep`, `animated`.
    """

    digests: Keys
    readable: Mask
    reasons: dict[int, str]
    sides_px: npt.NDArray[np.int64]
    thumbnails: Bytes
    kinds: dict[str, Mask]


class _Inspected(NamedTuple):
    row: int
    digest: bytes
    facts: bytes | None
    reason: str


def inspect_images(paths: Sequence[Path], *, cache: Path, num_workers: int, hooks: PipelineHooks) -> ImageFacts:
    """The facts about each file, decoded by `num_workers` threads or found in `cache`. Raises Stopped."""
    contents = FileContents(cache)
    cached: RowCache[np.uint8] = RowCache(cache / "image" / _FORMAT, width=_ROW_BYTES, dtype=np.uint8)
    digests, known = contents.sha256(paths)
    rows, found = cached.get(digests)
    found &= known
    reasons: dict[int, str] = {}
    new = _NewFacts(cached, contents)
    missing = np.flatnonzero(~found).tolist()

    def inspect(row: int) -> _Inspected:
        return _inspect_file(row, paths[row], contents)

    started_at = time.monotonic()
    try:
        with ThreadPoolExecutor(num_workers, "inspect") as pool:
            for done, image in enumerate(read_ahead(pool, inspect, missing)):
                if done % REPORT_EVERY == 0:
                    _report(len(paths) - len(missing) + done, len(paths), started_at, hooks)
                    new.flush_if_due()
                digests[image.row] = np.frombuffer(image.digest, np.uint8)
                if image.facts is None:
                    reasons[image.row] = image.reason
                else:
                    rows[image.row] = np.frombuffer(image.facts, np.uint8)
                    new.add(image.digest, image.facts)
    finally:
        new.flush()
    if missing:
        _report(len(paths), len(paths), started_at, hooks)
    return _facts(digests, rows, reasons)


class _NewFacts:
    """Writes new facts to the cache, some seconds apart."""

    def __init__(self, cached: RowCache[np.uint8], contents: FileContents) -> None:
        self._cached, self._contents = cached, contents
        self._new: dict[bytes, bytes] = {}
        self._flushed_at = time.monotonic()

    def add(self, digest: bytes, facts: bytes) -> None:
        self._new[digest] = facts

    def flush_if_due(self) -> None:
        if time.monotonic() - self._flushed_at > FLUSH_EVERY_S:
            self.flush()

    def flush(self) -> None:
        """The facts before the digests: where a digest is known, its facts are too."""
        facts = np.frombuffer(b"".join(self._new.values()), np.uint8).reshape(-1, _ROW_BYTES)
        self._cached.add(stack_keys(self._new), facts)
        self._contents.flush()
        self._new = {}
        self._flushed_at = time.monotonic()


def _report(done: int, total: int, started_at: float, hooks: PipelineHooks) -> None:
    if time.monotonic() - started_at > QUIET_S:
        hooks.progress(done, total, UNIT)
    if done < total and hooks.stop_requested():
        raise Stopped(f"{done} of {total} images checked")


def _facts(digests: Keys, rows: Bytes, reasons: dict[int, str]) -> ImageFacts:
    readable = np.ones(len(rows), dtype=np.bool_)
    readable[list(reasons)] = False
    sides = np.ascontiguousarray(rows[:, :8]).view("<u4").astype(np.int64).reshape(-1, 2)
    flags = rows[:, 8]
    return ImageFacts(
        digests=digests,
        readable=readable,
        reasons=dict(sorted(reasons.items())),
        sides_px=sides,
        thumbnails=rows[:, _HEADER.size :],
        kinds={kind: (flags >> bit & 1).astype(np.bool_) for bit, kind in enumerate(_KINDS)},
    )


def _inspect_file(row: int, path: Path, contents: FileContents) -> _Inspected:
    stamp = file_stamp(path)
    try:
        data = read_image(path)
    except OSError as error:
        return _Inspected(row, UNREADABLE, None, f"{type(error).__name__}: {error.strerror}")
    digest = hashlib.sha256(data).digest()
    opened = OpenedImage(data)
    contents.add(stamp, path, digest, opened.traits)
    try:
        properties = opened.properties()  # finds JPEG files whose end is missing, which decode to half a picture
        return _Inspected(row, digest, _packed(properties, _small_picture(data, opened)), "")
    except UnreadableImage as error:
        return _Inspected(row, digest, None, str(error)[:300])


def _packed(properties: ImageProperties, thumbnail: bytes) -> bytes:
    flags = sum(getattr(properties, kind) << bit for bit, kind in enumerate(_KINDS))
    return _HEADER.pack(properties.width, properties.height, flags) + thumbnail


def _small_picture(data: bytes, opened: OpenedImage) -> bytes:
    """The thumbnail of an image; an ordinary JPEG is decoded at a fraction of its size. Raises UnreadableImage."""
    if not data.startswith(_JPEG_START) or opened.traits:
        return _thumbnail(opened.rgb())
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            image.draft("RGB", (_DRAFT_PX, _DRAFT_PX))
            return _thumbnail(image if image.mode in _PLAIN_MODES else opened.rgb())
    except MemoryError:
        raise
    except Exception:  # the decoder of the training has the last word, and its reason is shown
        return _thumbnail(opened.rgb())


def _thumbnail(image: Image.Image) -> bytes:
    small = image.convert("RGB").resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BOX).convert("YCbCr")
    luma, *chroma = small.split()
    return luma.tobytes() + b"".join(
        channel.resize((CHROMA_PX, CHROMA_PX), Image.Resampling.BOX).tobytes() for channel in chroma
    )
