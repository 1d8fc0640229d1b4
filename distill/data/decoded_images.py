"""Pictures decoded once to uint8 at the resolution they are trained at, and kept as one memory-mapped array.

The whole picture is squashed to a square of S pixels (bicubic, antialiased), as arXiv:2307.03135's code does: S is
256 for a student of 224 px and in that proportion above 96 px; smaller students get pictures of their own size,
because such pictures are mostly kept small and a margin would only blur them. A picture that is S by S already is
kept to the bit. The array's name is a digest of what is in the files, so that a second run on the same pictures finds
it and any other does not; it appears whole or not at all. N images, S side of the stored pictures in pixels.
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
    """Pictures by position, (N, S, S, 3) uint8: an array, or what decodes them when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: npt.NDArray[np.int64], /) -> Pixels: ...


class ImagesError(RuntimeError):
    """Pictures that cannot be made ready; the message says why and what would do."""


def train_side_px(image_px: int) -> int:
    """Side of the pictures that a student of `image_px` is trained from: 256 for 224; its own up to 96."""
    return image_px if image_px <= SMALL_PX else round(image_px * 8 / 7)


def eval_side_px(image_px: int, test_crop: float) -> int:
    """Side of the pictures whose centre of `image_px` is the share `test_crop` of."""
    return round(image_px / test_crop)


@dataclass(frozen=True, eq=False)
class DecodedImages:
    """Pictures ready to be trained on. `pixels`: (N, S, S, 3) uint8, mapped from disk or decoded when asked for.

    Zeros where a file is bad. `bad`: reason by position. `digest`: of the contents and of how they were made ready.
    `contents`: (N, 32), sha256 of each file.
    """

    pixels: PixelRows
    bad: Mapping[int, str]
    digest: str
    contents: Keys

    def usable(self) -> npt.NDArray[np.int64]:
        """Positions of the pictures that could be decoded, ascending."""
        good = np.ones(len(self.pixels), dtype=np.bool_)
        good[list(self.bad)] = False
        return np.flatnonzero(good)


class OnDemandPixels:
    """Pictures (N, S, S, 3) that are decoded when they are asked for, to what the array on disk would hold.

    `contents`: (N, 32), what was in the files when they were looked through. Raises ImagesError, naming the file, for
    one that has changed since.
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

        def fill(place: int) -> None:
            row = int(rows[place])
            one = _decode_one(row, self._paths[row], self._side_px)
            if one.digest != self._contents[row].tobytes():
                raise ImagesError(
                    f"{self._paths[row]} was changed while a run was using it ({one.reason or 'other content'}): "
                    "put it back as it was, or start the run anew"
                )
            if one.pixels is not None:
                pixels[place] = one.pixels

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
    """The pictures of `paths` at `side_px`, from below `cache` where these contents were decoded before.

    `num_workers` threads read and decode. Pictures that would take more than `decoded_gb` are not kept: they are
    looked through once, for what is in the files and which of them are bad, and decoded again whenever they are asked
    for. `on_progress(done, total, "pictures")`. A file that cannot be read or decoded is told to `on_bad_image(path,
    reason)`, else logged, on every run. Raises Stopped once `should_stop()` is true, and ImagesError where the disk has
    no room.
    """
    hooks = hooks or logging_hooks()
    folder = cache / "pixels"
    keep = len(paths) * side_px * side_px * 3 <= decoded_gb * 1e9
    contents = RowCache(folder / "contents", width=KEY_BYTES, dtype=np.uint8)
    stamps = [file_stamp(path) for path in paths]
    rows, known = contents.get(stack_keys(one or bytes(KEY_BYTES) for one in stamps))
    pack = _find(folder, paths, rows, side_px, keep, num_workers) if known.all() and len(paths) else None
    if pack is None:
        digests = _decode(folder, paths, side_px, keep, num_workers, hooks)
        fresh = [at for at, one in enumerate(stamps) if one and not known[at] and one == file_stamp(paths[at])]
        contents.add(stack_keys(stamps[at] or b"" for at in fresh), stack_keys(digests[at] for at in fresh))
        pack = _find(folder, paths, stack_keys(digests), side_px, keep, num_workers)
        if pack is None:
            raise ImagesError(f"decoded pictures vanished from {folder}: is something cleaning it up?")
    else:
        hooks.progress(len(paths), len(paths), "pictures")
    for at, reason in pack.bad.items():
        hooks.bad_image(paths[at], reason)
    return pack


def _find(
    folder: Path, paths: Sequence[Path], contents: Keys, side_px: int, keep: bool, num_workers: int
) -> DecodedImages | None:
    key = _key(side_px, contents)
    pixels: PixelRows
    try:
        said = json.loads((folder / f"{key}.json").read_text(encoding="utf-8"))
        array = np.load(folder / f"{key}.npy", mmap_mode="r")
        if array.shape != (len(contents), side_px, side_px, 3) or array.dtype != np.uint8:
            return None
        pixels = array
    except FileNotFoundError as error:
        if keep or error.filename.endswith(".json"):
            return None
        pixels = OnDemandPixels(paths, contents, side_px, num_workers)
    except ValueError:
        return None
    return DecodedImages(pixels, {int(at): reason for at, reason in said["bad"].items()}, key, contents)


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
    keep: bool,
    num_workers: int,
    hooks: PipelineHooks,
) -> list[bytes]:
    """Write the notes, and the array if it is to be kept, under the name that the contents give them.

    Returns the contents' digests.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _drop_abandoned(folder)
    if keep:
        _require_room(folder, len(paths) * side_px * side_px * 3)
    digests: list[bytes] = []
    bad: dict[int, str] = {}
    work = folder / f"drafts-{os.getpid()}-{time.time_ns()}"
    work.mkdir()
    try:
        with (work / "pixels.npy").open("wb") as out, ThreadPoolExecutor(num_workers, "decode") as pool:
            shape = (len(paths), side_px, side_px, 3)
            header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.uint8)), "fortran_order": False}
            np.lib.format.write_array_header_1_0(out, {**header, "shape": shape})
            for one in _read_ahead(pool, paths, side_px):
                if one.at % 64 == 0 and hooks.stop_requested():
                    raise Stopped(f"{one.at} of {len(paths)} pictures decoded")
                digests.append(one.digest)
                if one.pixels is None:
                    bad[one.at] = one.reason
                if keep:
                    _write(out, one.pixels, side_px)
                if one.at % 64 == 63 or one.at + 1 == len(paths):
                    hooks.progress(one.at + 1, len(paths), "pictures")
        key = _key(side_px, stack_keys(digests))
        write_bytes(folder / f"{key}.json", json.dumps({"bad": bad}).encode())
        if keep:  # the array comes last: where it is, the notes are too
            with replacing(folder / f"{key}.npy") as draft:
                os.replace(work / "pixels.npy", draft)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return digests


def _read_ahead(pool: ThreadPoolExecutor, paths: Sequence[Path], side_px: int) -> Iterator[_Decoded]:
    """Decoded pictures in order, with no more than a few hundred waiting."""
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
        picture = open_rgb(data)
    except Exception as error:  # decoders raise whatever they like; none of it may end the run
        return _Decoded(at, digest, None, f"{type(error).__name__}: {error}"[:300])
    if picture.size != (side_px, side_px):
        picture = picture.resize((side_px, side_px), Image.Resampling.BICUBIC)
    return _Decoded(at, digest, np.asarray(picture), "")


def _write(out: BinaryIO, pixels: Pixels | None, side_px: int) -> None:
    try:
        out.write(bytes(side_px * side_px * 3) if pixels is None else np.ascontiguousarray(pixels).data)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise ImagesError("the disk is full: give the cache another place, or lower image_px") from error


def _require_room(folder: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        raise ImagesError(
            f"decoded pictures take {num_bytes / 1e9:.1f} GB, {folder} has {free / 1e9:.1f} GB free: "
            f"give the cache another place, lower image_px, or set decoded_gb below that to decode them in each pass"
        )


def _drop_abandoned(folder: Path) -> None:
    """Remove what a killed process left here, once nobody has written to it for a day."""
    for draft in folder.glob("drafts-*/pixels.npy"):
        if time.time() - draft.stat().st_mtime > ABANDONED_S:
            shutil.rmtree(draft.parent, ignore_errors=True)
