"""Teacher features of images, computed once for each content and kept for every later run.

A feature's key is the sha256 of the image file, the teacher, its preprocessing and the view, so that a renamed or
copied image hits and any other teacher misses. A file whose path, size and time of change are known is not read
again to be hashed. Features are kept in float16 (cosine to float32 above 0.9999) and returned as they are kept,
so that a run that finds them and a run that makes them see the same numbers. N images, D embedding width.
"""

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from distill import Stopped
from distill.data.image_files import open_rgb
from distill.data.row_cache import KEY_BYTES, RowCache, Rows, key_of, stack_keys
from distill.data.shards import file_stamp, read_image
from distill.hooks import PipelineHooks, logging_hooks
from distill.teacher.teacher import Teacher, TeacherError, View

CPU_BATCH, GPU_BATCH = 32, 256
KEEP_EVERY_S, KEEP_EVERY_ROWS = 30.0, 8192


class TeacherFeatures(NamedTuple):
    """`features`: (N, D) float32 on the CPU, not normalised, zeros for a bad image. `bad`: (N,) bool."""

    features: torch.Tensor
    bad: torch.Tensor


def image_features(
    teacher: Teacher,
    paths: Sequence[Path],
    *,
    cache: Path,
    view: View = "center",
    threads: int | None = None,
    hooks: PipelineHooks | None = None,
) -> TeacherFeatures:
    """The teacher's features of image files, from `cache` where it has them.

    `threads` read and decode (default: as many as there are cores, 8 at most). `on_progress(done, total, "images")`
    counts images found in the cache as done. A file that cannot be read or decoded is told to `on_bad_image(path,
    reason)` (else logged) and marked bad. Raises Stopped once `should_stop()` is true, with what was done in the
    cache, and TeacherError if the teacher gives features that are not finite.
    """
    hooks = hooks or logging_hooks()
    store = _Store(teacher, cache, view)
    digests = store.known_digests(paths)
    features, found = store.rows_of(digests)
    bad = np.zeros(len(paths), dtype=np.bool_)
    missing = np.flatnonzero(~found).tolist()
    later: dict[int, bytes] = {}
    # Of a file that was never hashed nobody knows yet whether its content is cached.
    store.look_for_contents(unhashed=any(digests[row] is None for row in missing))
    size = GPU_BATCH if teacher.device.type == "cuda" else CPU_BATCH
    done = len(paths) - len(missing)
    hooks.progress(done, len(paths), "images")
    with ThreadPoolExecutor(threads or min(8, os.cpu_count() or 1), thread_name_prefix="decode") as pool:
        for batch in _read_ahead(pool, lambda row: (row, store.read(paths[row])), missing, size):
            if hooks.stop_requested():
                store.keep()
                raise Stopped(f"{done} of {len(paths)} images have their teacher features")
            fresh: list[tuple[int, _Read]] = []
            for row, read in batch:
                if read.reason is not None:
                    bad[row] = True
                    hooks.bad_image(paths[row], read.reason)
                elif read.pixels is None or not store.claim(read.digest):
                    later[row] = read.digest
                else:
                    fresh.append((row, read))
            if fresh:
                features[[row for row, _ in fresh]] = store.encode([read for _, read in fresh], size)
            done += len(batch)
            hooks.progress(done, len(paths), "images")
        store.keep()
    if later:
        features[list(later)], found = store.rows_of(list(later.values()))
        if not found.all():
            raise OSError(f"the cache {cache} was emptied while in use: start again")
    return TeacherFeatures(torch.from_numpy(features.astype(np.float32)), torch.from_numpy(bad))


class _Read(NamedTuple):
    """An image file read: its content's digest and, unless cached already, its pixels; or the reason it is bad."""

    digest: bytes = b""
    pixels: torch.Tensor | None = None
    reason: str | None = None


class _Store:
    """The two caches below one folder, features by content and contents by file, and what waits to go into them."""

    def __init__(self, teacher: Teacher, cache: Path, view: View) -> None:
        self.teacher, self.view = teacher, view
        self.key_parts = (teacher.digest, teacher.preprocess_digest, view)
        folder = cache / "image" / key_of(*self.key_parts).hex()[:32]
        self.features = RowCache(folder, width=teacher.width, dtype=np.float16)
        self.contents = RowCache(cache / "image" / "contents", width=KEY_BYTES, dtype=np.uint8)
        self.cached: frozenset[bytes] = frozenset()
        self.claimed: set[bytes] = set()
        self.new_features: list[tuple[bytes, Rows]] = []
        self.new_contents: dict[bytes, bytes] = {}
        self.kept_at = time.monotonic()

    def key(self, digest: bytes) -> bytes:
        return key_of(digest, *self.key_parts)

    def known_digests(self, paths: Sequence[Path]) -> list[bytes | None]:
        """The sha256 of each file that has not changed since it was last hashed."""
        stamps = (file_stamp(path) or bytes(KEY_BYTES) for path in paths)
        rows, found = self.contents.get(stack_keys(stamps))
        return [row.tobytes() if known else None for row, known in zip(rows, found, strict=True)]

    def rows_of(self, digests: Sequence[bytes | None]) -> tuple[Rows, npt.NDArray[np.bool_]]:
        """Cached features (N, D) float16, and whether there are any, of contents; none for an unknown one."""
        return self.features.get(stack_keys(self.key(digest) if digest else bytes(KEY_BYTES) for digest in digests))

    def look_for_contents(self, *, unhashed: bool) -> None:
        self.cached = self.features.keys() if unhashed else frozenset()

    def read(self, path: Path) -> _Read:
        """Read, hash and, unless its feature is cached, decode one file. Runs on many threads at once."""
        try:
            known_by = file_stamp(path)
            data = read_image(path)
            digest = hashlib.sha256(data).digest()
            pixels = None if self.key(digest) in self.cached else self.teacher.prepare(open_rgb(data), self.view)
        except MemoryError:
            raise
        except Exception as error:  # decoders raise whatever they like; none of it may end the run
            return _Read(reason=f"{type(error).__name__}: {error}"[:300])
        if known_by is not None and known_by == file_stamp(path):
            self.new_contents[known_by] = digest
        return _Read(digest, pixels)

    def claim(self, digest: bytes) -> bool:
        """Whether this content is not being encoded already for another file of the same bytes."""
        new = digest not in self.claimed
        self.claimed.add(digest)
        return new

    def encode(self, reads: Sequence[_Read], size: int) -> Rows:
        """Features (B, D) float16 of fresh pixels, noted to be kept."""
        rows = encode_rows(self.teacher, torch.stack([r.pixels for r in reads if r.pixels is not None]), size)
        self.new_features += [(read.digest, row) for read, row in zip(reads, rows, strict=True)]
        if len(self.new_features) >= KEEP_EVERY_ROWS or time.monotonic() - self.kept_at > KEEP_EVERY_S:
            self.keep()
        return rows

    def keep(self) -> None:
        """Put what waits into the caches."""
        if self.new_features:
            keys = stack_keys(self.key(digest) for digest, _ in self.new_features)
            self.features.add(keys, np.stack([row for _, row in self.new_features]))
            self.new_features = []
        noted = dict(self.new_contents)
        for known_by in noted:
            del self.new_contents[known_by]
        self.contents.add(stack_keys(noted.keys()), stack_keys(noted.values()))
        self.kept_at = time.monotonic()


def encode_rows(teacher: Teacher, prepared: torch.Tensor, size: int) -> Rows:
    """Features (B, D) float16 of at most `size` prepared pictures. Raises TeacherError if they are not finite."""
    # Always a full batch: kernels differ by size, and a feature must not depend on what else was missing.
    full = torch.cat([prepared, prepared[:1].expand(size - len(prepared), -1, -1, -1)])
    with np.errstate(over="ignore"):  # what overflows is not finite, and refused as such
        rows: Rows = teacher.encode_images(full)[: len(prepared)].cpu().numpy().astype(np.float16)
    if not np.isfinite(rows).all():
        raise TeacherError(
            "teacher_not_finite", f"{teacher.ref} gives image features that are not finite: check its weights"
        )
    return rows


def _read_ahead(
    pool: ThreadPoolExecutor, read: Callable[[int], tuple[int, _Read]], rows: Sequence[int], size: int
) -> Iterator[list[tuple[int, _Read]]]:
    """Batches of at most `size` results of `read`, in the order of `rows`, with two more batches under way."""
    waiting: deque[Future[tuple[int, _Read]]] = deque()
    try:
        for start in range(0, len(rows), size):
            waiting.extend(pool.submit(read, row) for row in rows[start : start + size])
            if len(waiting) > 2 * size:
                yield [waiting.popleft().result() for _ in range(size)]
        while waiting:
            yield [waiting.popleft().result() for _ in range(min(size, len(waiting)))]
    finally:
        for future in waiting:
            future.cancel()
