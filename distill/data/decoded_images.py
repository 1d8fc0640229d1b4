"""Images decoded once to uint8 at the training resolution, and cached as one memory-mapped array.

The whole image is squashed to a square of S pixels (bicubic, antialiased), as in the code of arXiv:2307.03135. S is 256
for a student of 224 px, in proportion above 96 px, and the student's own size up to 96 px, because datasets of small
images are mostly stored at that size and a margin would only blur them. An image that is already S by S is kept to the
bit. The array is named by a digest of the file contents, so a second run on the same images finds it; it is written
atomically. N images, S side of the stored images in pixels.
"""

import errno
import hashlib
import json
import math
import os
import shutil
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from distill import Stopped
from distill.data.atomic_files import replacing, write_bytes
from distill.data.image_files import open_rgb
from distill.data.row_cache import KEY_BYTES, Keys, RowCache, key_of, stack_keys
from distill.data.shards import file_stamp, read_image
from distill.hooks import PipelineHooks, logging_hooks

FORMAT = "limbeck pixels 1: squashed, bicubic"
SMALL_PX = 96
READ_AHEAD = 256
ABANDONED_S = 24 * 3600
UNREADABLE = b"unreadable".ljust(KEY_BYTES)

Pixels = npt.NDArray[np.uint8]


class PixelRows(Protocol):
    """Images by position, (N, S, S, 3) uint8: an array in memory or on disk, or `OnDemandPixels`."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: npt.NDArray[np.int64], /) -> Pixels: ...


class ImagesError(RuntimeError):
    """Images cannot be decoded or stored; the message gives the reason and the fix."""


def train_side_px(image_px: int) -> int:
    """Side of the stored images for training a student of `image_px`: 256 for 224; `image_px` itself up to 96."""
    return image_px if image_px <= SMALL_PX else round(image_px * 8 / 7)


def eval_side_px(image_px: int, test_crop: float) -> int:
    """Side of the stored images for evaluation: the centre crop of `image_px` is the fraction `test_crop` of it."""
    return round(image_px / test_crop)


@dataclass(frozen=True, eq=False)
class DecodedImages:
    """Decoded images. `pixels`: (N, S, S, 3) uint8, memory-mapped or decoded on access; zeros for a bad file.

    `bad`: reason by position. `digest`: of the file contents and the preprocessing. `contents`: (N, 32), sha256 of each
    file.
    """

    pixels: PixelRows
    bad: Mapping[int, str]
    digest: str
    contents: Keys

    def usable(self) -> npt.NDArray[np.int64]:
        """Positions of the images that could be decoded, ascending."""
        good = np.ones(len(self.pixels), dtype=np.bool_)
        good[list(self.bad)] = False
        return np.flatnonzero(good)


class OnDemandPixels:
    """Images (N, S, S, 3) decoded on access, with the same values as the array on disk.

    `contents`: (N, 32), sha256 of each file when it was first read. Access raises ImagesError, naming the file, if a
    file has changed since.
    """

    def __init__(self, paths: Sequence[Path], contents: Keys, side_px: int, num_workers: int) -> None:
        self._paths, self._contents, self._side_px, self._num_workers = paths, contents, side_px, num_workers

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self._paths), self._side_px, self._side_px, 3)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, rows: npt.NDArray[np.int64], /) -> Pixels:
        pixels: Pixels = np.zeros((len(rows), *self.shape[1:]), dtype=np.uint8)

        def fill(at: int) -> None:
            row = int(rows[at])
            image = _decode_one(row, self._paths[row], self._side_px)
            if image.digest != self._contents[row].tobytes():
                raise ImagesError(
                    f"{self._paths[row]} was changed during the run ({image.reason or 'other content'}): "
                    "restore the file, or start a new run"
                )
            if image.pixels is not None:
                pixels[at] = image.pixels

        with ThreadPoolExecutor(self._num_workers, "decode") as pool:
            for _ in pool.map(fill, range(len(rows))):
                pass
        return pixels


def decode_images(
    paths: Sequence[Path],
    side_px: int,
    *,
    cache: Path,
    num_workers: int = 4,
    decoded_gb: float = math.inf,
    hooks: PipelineHooks | None = None,
) -> DecodedImages:
    """Decode the images of `paths` at `side_px`, or find them in `cache` if these contents were decoded before.

    `num_workers` threads read and decode. If the images take more than `decoded_gb`, no array is stored: the files are
    read once to find their digests and the bad ones, and decoded again on each access. Without `hooks`, bad images are
    logged; they are reported in every run. Raises Stopped, and ImagesError if the disk is full.
    """
    hooks = hooks or logging_hooks()
    folder = cache / "pixels"
    store_array = len(paths) * side_px * side_px * 3 <= decoded_gb * 1e9
    contents = RowCache(folder / "contents", width=KEY_BYTES, dtype=np.uint8)
    stamps = [file_stamp(path) for path in paths]
    rows, known = contents.get(stack_keys(stamp or bytes(KEY_BYTES) for stamp in stamps))
    images = _find(folder, paths, rows, side_px, store_array, num_workers) if known.all() and len(paths) else None
    if images is None:
        digests = _decode(folder, paths, side_px, store_array, num_workers, hooks)
        new = [at for at, stamp in enumerate(stamps) if stamp and not known[at] and stamp == file_stamp(paths[at])]
        contents.add(stack_keys(stamps[at] or b"" for at in new), stack_keys(digests[at] for at in new))
        images = _find(folder, paths, stack_keys(digests), side_px, store_array, num_workers)
        if images is None:
            raise ImagesError(f"the decoded images were deleted from {folder}: stop the process that cleans it up")
    else:
        hooks.progress(len(paths), len(paths), "pictures")
    for at, reason in images.bad.items():
        hooks.bad_image(paths[at], reason)
    return images


def _find(
    folder: Path, paths: Sequence[Path], contents: Keys, side_px: int, store_array: bool, num_workers: int
) -> DecodedImages | None:
    key = _key(side_px, contents)
    pixels: PixelRows
    try:
        notes = json.loads((folder / f"{key}.json").read_text(encoding="utf-8"))
        array = np.load(folder / f"{key}.npy", mmap_mode="r")
        if array.shape != (len(contents), side_px, side_px, 3) or array.dtype != np.uint8:
            return None
        pixels = array
    except FileNotFoundError as error:
        if store_array or error.filename.endswith(".json"):
            return None
        pixels = OnDemandPixels(paths, contents, side_px, num_workers)
    except ValueError:
        return None
    return DecodedImages(pixels, {int(at): reason for at, reason in notes["bad"].items()}, key, contents)


def _key(side_px: int, contents: Keys) -> str:
    return key_of(FORMAT, str(side_px), *(content.tobytes() for content in contents)).hex()[:32]


class _Decoded(NamedTuple):
    at: int
    digest: bytes
    pixels: Pixels | None
    reason: str


def _decode(
    folder: Path,
    paths: Sequence[Path],
    side_px: int,
    store_array: bool,
    num_workers: int,
    hooks: PipelineHooks,
) -> list[bytes]:
    """Write the list of bad files, and the array if `store_array`, under the key of the contents.

    Returns the digests of the contents.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _drop_abandoned(folder)
    if store_array:
        _require_space(folder, len(paths) * side_px * side_px * 3)
    digests: list[bytes] = []
    bad: dict[int, str] = {}
    work = folder / f"drafts-{os.getpid()}-{time.time_ns()}"
    work.mkdir()
    try:
        with (work / "pixels.npy").open("wb") as out, ThreadPoolExecutor(num_workers, "decode") as pool:
            shape = (len(paths), side_px, side_px, 3)
            header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.uint8)), "fortran_order": False}
            np.lib.format.write_array_header_1_0(out, {**header, "shape": shape})
            for image in _read_ahead(pool, paths, side_px):
                if image.at % 64 == 0 and hooks.stop_requested():
                    raise Stopped(f"{image.at} of {len(paths)} images decoded")
                digests.append(image.digest)
                if image.pixels is None:
                    bad[image.at] = image.reason
                if store_array:
                    _write(out, image.pixels, side_px)
                if image.at % 64 == 63 or image.at + 1 == len(paths):
                    hooks.progress(image.at + 1, len(paths), "pictures")
        key = _key(side_px, stack_keys(digests))
        write_bytes(folder / f"{key}.json", json.dumps({"bad": bad}).encode())
        if store_array:  # the array is written last, so wherever it exists the JSON file does too
            with replacing(folder / f"{key}.npy") as draft:
                os.replace(work / "pixels.npy", draft)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return digests


def _read_ahead(pool: ThreadPoolExecutor, paths: Sequence[Path], side_px: int) -> Iterator[_Decoded]:
    """Decoded images in order, at most `READ_AHEAD` of them ahead."""
    waiting: deque[Future[_Decoded]] = deque()
    try:
        for at, path in enumerate(paths):
            waiting.append(pool.submit(_decode_one, at, path, side_px))
            if len(waiting) > READ_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _decode_one(at: int, path: Path, side_px: int) -> _Decoded:
    try:
        data = read_image(path)
    except OSError as error:
        return _Decoded(at, UNREADABLE, None, f"{type(error).__name__}: {error.strerror}")
    digest = hashlib.sha256(data).digest()
    try:
        image = open_rgb(data)
    except Exception as error:  # decoders raise any exception; a bad image must not end the run
        return _Decoded(at, digest, None, f"{type(error).__name__}: {error}"[:300])
    if image.size != (side_px, side_px):
        image = image.resize((side_px, side_px), Image.Resampling.BICUBIC)
    return _Decoded(at, digest, np.asarray(image), "")


def _write(out: BinaryIO, pixels: Pixels | None, side_px: int) -> None:
    try:
        out.write(bytes(side_px * side_px * 3) if pixels is None else np.ascontiguousarray(pixels).data)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise ImagesError("the disk is full: move the cache, or lower image_px") from error


def _require_space(folder: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        raise ImagesError(
            f"decoded images take {num_bytes / 1e9:.1f} GB, {folder} has {free / 1e9:.1f} GB free: "
            f"move the cache, lower image_px, or set decoded_gb below that to decode them in every pass"
        )


def _drop_abandoned(folder: Path) -> None:
    """Remove drafts of killed processes that have not been written to for a day."""
    for draft in folder.glob("drafts-*/pixels.npy"):
        if time.time() - draft.stat().st_mtime > ABANDONED_S:
            shutil.rmtree(draft.parent, ignore_errors=True)
