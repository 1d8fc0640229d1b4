"""Teacher features of images, computed once per file content and cached for later runs.

The key of a feature covers the sha256 of the image file, the teacher, its preprocessing and the view: a renamed or
copied image hits, another teacher misses. A file with known path, size and modification time is not read again to be
hashed. Features are cached in float16 (cosine to float32 above 0.9999) and returned as cached, so that a run that
computes them and a run that finds them get the same numbers. N images, B images in a batch, D embedding width.
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
from distill.data.row_cache import KEY_BYTES, RowCache, key_of, stack_keys
from distill.data.shards import file_stamp, read_image
from distill.hooks import PipelineHooks, logging_hooks
from distill.teacher.teacher import Teacher, TeacherError, View

Features = npt.NDArray[np.float16]

CPU_BATCH, GPU_BATCH = 32, 256
FLUSH_EVERY_S, FLUSH_EVERY_ROWS = 30.0, 8192


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
    """The teacher's features of image files, from `cache` if they are there.

    `threads` read and decode (default: number of cores, at most 8). Progress counts cached images as done. A file that
    cannot be read or decoded is reported to `hooks` (without hooks, logged) and marked bad. Raises Stopped, with the
    finished features in the cache, and TeacherError for features that are not finite.
    """
    hooks = hooks or logging_hooks()
    store = _FeatureStore(teacher, cache, view)
    digests = store.known_digests(paths)
    features, found = store.cached_rows(digests)
    bad = np.zeros(len(paths), dtype=np.bool_)
    missing = np.flatnonzero(~found).tolist()
    # The content of a file that was never hashed may be in the cache.
    store.load_cached_keys(needed=any(digests[row] is None for row in missing))
    hooks.progress(len(paths) - len(missing), len(paths), "images")
    duplicates = _encode_missing(store, paths, missing, features, bad, threads, hooks)
    if duplicates:
        features[list(duplicates)], found = store.cached_rows(list(duplicates.values()))
        if not found.all():
            raise OSError(f"the cache {cache} was emptied during the run: start the run again")
    return TeacherFeatures(torch.from_numpy(features.astype(np.float32)), torch.from_numpy(bad))


def _encode_missing(
    store: "_FeatureStore",
    paths: Sequence[Path],
    missing: Sequence[int],
    features: Features,
    bad: npt.NDArray[np.bool_],
    threads: int | None,
    hooks: PipelineHooks,
) -> dict[int, bytes]:
    """Fill `features` (N, D) and `bad` (N,) at the rows `missing`.

    Returns the digests, by row, of images whose content is in the cache or was encoded for another file of this run.
    """
    duplicates: dict[int, bytes] = {}
    batch_size = GPU_BATCH if store.teacher.device.type == "cuda" else CPU_BATCH
    done = len(paths) - len(missing)
    with ThreadPoolExecutor(threads or min(8, os.cpu_count() or 1), thread_name_prefix="decode") as pool:
        for batch in _read_ahead(pool, lambda row: (row, store.read(paths[row])), missing, batch_size):
            if hooks.stop_requested():
                store.flush()
                raise Stopped(f"{done} of {len(paths)} images have their teacher features")
            new: list[tuple[int, _DecodedFile]] = []
            for row, file in batch:
                if file.reason is not None:
                    bad[row] = True
                    hooks.bad_image(paths[row], file.reason)
                elif file.pixels is None or not store.claim(file.digest):
                    duplicates[row] = file.digest
                else:
                    new.append((row, file))
            if new:
                features[[row for row, _ in new]] = store.encode([file for _, file in new], batch_size)
            done += len(batch)
            hooks.progress(done, len(paths), "images")
        store.flush()
    return duplicates


class _DecodedFile(NamedTuple):
    """`digest` of an image file and its prepared `pixels` (3, H, W), None if cached; or the `reason` it is bad."""

    digest: bytes = b""
    pixels: torch.Tensor | None = None
    reason: str | None = None


class _FeatureStore:
    """Two caches in one folder, features by content and contents by file, with buffers of rows to be written."""

    def __init__(self, teacher: Teacher, cache: Path, view: View) -> None:
        self.teacher, self.view = teacher, view
        self.key_parts = (teacher.digest, teacher.preprocess_digest, view)
        folder = cache / "image" / key_of(*self.key_parts).hex()[:32]
        self.features = RowCache(folder, width=teacher.width, dtype=np.float16)
        self.contents = RowCache(cache / "image" / "contents", width=KEY_BYTES, dtype=np.uint8)
        self.cached_keys: frozenset[bytes] = frozenset()
        self.claimed: set[bytes] = set()
        self.new_features: list[tuple[bytes, Features]] = []
        self.new_contents: dict[bytes, bytes] = {}
        self.flushed_at = time.monotonic()

    def key(self, digest: bytes) -> bytes:
        return key_of(digest, *self.key_parts)

    def known_digests(self, paths: Sequence[Path]) -> list[bytes | None]:
        """The sha256 of each file, or None if it is new or has changed since it was last hashed."""
        stamps = (file_stamp(path) or bytes(KEY_BYTES) for path in paths)
        rows, found = self.contents.get(stack_keys(stamps))
        return [row.tobytes() if known else None for row, known in zip(rows, found, strict=True)]

    def cached_rows(self, digests: Sequence[bytes | None]) -> tuple[Features, npt.NDArray[np.bool_]]:
        """Cached features (N, D) float16 of file contents, and whether each was found; None is never found."""
        return self.features.get(stack_keys(self.key(digest) if digest else bytes(KEY_BYTES) for digest in digests))

    def load_cached_keys(self, *, needed: bool) -> None:
        """Load the keys of all cached features, if `needed`, so that `read` skips decoding of cached contents."""
        self.cached_keys = self.features.keys() if needed else frozenset()

    def read(self, path: Path) -> _DecodedFile:
        """Read and hash one file, and decode it unless its feature is cached. Runs on many threads."""
        try:
            stamp = file_stamp(path)
            data = read_image(path)
            digest = hashlib.sha256(data).digest()
            pixels = None if self.key(digest) in self.cached_keys else self.teacher.prepare(open_rgb(data), self.view)
        except MemoryError:
            raise
        except Exception as error:  # decoders raise any exception; a bad image must not end the run
            return _DecodedFile(reason=f"{type(error).__name__}: {error}"[:300])
        if stamp is not None and stamp == file_stamp(path):
            self.new_contents[stamp] = digest
        return _DecodedFile(digest, pixels)

    def claim(self, digest: bytes) -> bool:
        """Whether this call is the first of the run for this content; else another file with it is being encoded."""
        new = digest not in self.claimed
        self.claimed.add(digest)
        return new

    def encode(self, files: Sequence[_DecodedFile], batch_size: int) -> Features:
        """Encode decoded files, buffer their features for the cache, and return them, (B, D) float16."""
        rows = encode_rows(
            self.teacher, torch.stack([file.pixels for file in files if file.pixels is not None]), batch_size
        )
        self.new_features += [(file.digest, row) for file, row in zip(files, rows, strict=True)]
        if len(self.new_features) >= FLUSH_EVERY_ROWS or time.monotonic() - self.flushed_at > FLUSH_EVERY_S:
            self.flush()
        return rows

    def flush(self) -> None:
        """Write the buffers to the caches."""
        if self.new_features:
            keys = stack_keys(self.key(digest) for digest, _ in self.new_features)
            self.features.add(keys, np.stack([row for _, row in self.new_features]))
            self.new_features = []
        contents = dict(self.new_contents)
        for stamp in contents:
            del self.new_contents[stamp]
        self.contents.add(stack_keys(contents.keys()), stack_keys(contents.values()))
        self.flushed_at = time.monotonic()


def encode_rows(teacher: Teacher, prepared: torch.Tensor, batch_size: int) -> Features:
    """Features (B, D) float16 of at most `batch_size` prepared images. Raises TeacherError if they are not finite."""
    # Always encode a full batch: kernels differ by batch size, and a feature must not depend on the other images.
    full = torch.cat([prepared, prepared[:1].expand(batch_size - len(prepared), -1, -1, -1)])
    with np.errstate(over="ignore"):  # overflow gives infinity, which is refused below
        rows: Features = teacher.encode_images(full)[: len(prepared)].cpu().numpy().astype(np.float16)
    if not np.isfinite(rows).all():
        raise TeacherError(
            "teacher_not_finite", f"{teacher.ref} gives image features that are not finite: check its weights"
        )
    return rows


def _read_ahead(
    pool: ThreadPoolExecutor, read: Callable[[int], tuple[int, _DecodedFile]], rows: Sequence[int], size: int
) -> Iterator[list[tuple[int, _DecodedFile]]]:
    """Batches of at most `size` results of `read`, in the order of `rows`, with two more batches under way."""
    waiting: deque[Future[tuple[int, _DecodedFile]]] = deque()
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
