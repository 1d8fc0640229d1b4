"""Teacher features of images, computed once per file content and cached for later runs.

The key of a feature covers the digest of the image (`distill.data.image_store`), the teacher, its preprocessing and the
view: a renamed or copied image hits; another teacher, or a file that is now decoded in another way, misses. Features
are cached in float16 (cosine to float32 above 0.9999) and returned as cached, so that a run that computes them and a
run that finds them get the same numbers. N images, B images in a batch, D embedding width.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from distill.data.image_store import Derived, Mask, read_images
from distill.data.row_cache import Keys, RowCache, key_of, stack_keys
from distill.hooks import PipelineHooks, logging_hooks
from distill.teacher.teacher import Teacher, TeacherError, View
from limbeck.shared.images.background import WHITE

Features = npt.NDArray[np.float16]

CPU_BATCH, GPU_BATCH = 32, 256
FLUSH_EVERY_S, FLUSH_EVERY_ROWS = 30.0, 8192


class TeacherFeatures(NamedTuple):
    """`features`: (N, D) float32 on the CPU, not normalised, zeros for a bad image. `bad`: (N,) bool."""

    features: torch.Tensor
    bad: torch.Tensor


class FeatureEncoder:
    """Encodes the images of a pass (`distill.data.image_store`) that have no feature in `cache`.

    Each content is encoded once. Finished features are cached, also if the pass is stopped.
    """

    unit = "images"

    def __init__(
        self, teacher: Teacher, paths: Sequence[Path], *, cache: Path, view: View, hooks: PipelineHooks
    ) -> None:
        self._teacher, self._paths, self._view, self._hooks = teacher, paths, view, hooks
        self._batch_size = GPU_BATCH if teacher.device.type == "cuda" else CPU_BATCH
        self._store = _FeatureStore(teacher, cache, view)
        self._rows: Features = np.zeros((len(paths), teacher.width), dtype=np.float16)
        self._bad = np.zeros(len(paths), dtype=np.bool_)
        self._waiting: dict[int, tuple[bytes, Derived]] = {}
        self._claimed: set[bytes] = set()
        self._duplicates: dict[int, bytes] = {}

    def begin(self, digests: Keys, known: Mask) -> Mask:
        """The images without a cached feature."""
        self._rows, found = self._store.cached_rows(digests)
        found &= known
        self._rows[~found] = 0
        # The content of a file that was never hashed may be in the cache.
        self._store.load_cached_keys(needed=bool((~known).any()))
        return ~found

    def wants(self, digest: bytes) -> bool:
        """Whether the feature of this content is missing."""
        return not self._store.has_key(digest)

    def derive(self, image: Image.Image) -> Derived:
        """The teacher's input (3, H, W)."""
        prepared: Derived = self._teacher.prepare(image, self._view).numpy()
        return prepared

    def accept(self, row: int, digest: bytes, derived: Derived | None, reason: str) -> None:
        """Encode the image in a batch with others; raises TeacherError for features that are not finite."""
        if reason:
            self._bad[row] = True
            self._hooks.bad_image(self._paths[row], reason)
        elif derived is None or digest in self._claimed:
            self._duplicates[row] = digest
        else:
            self._claimed.add(digest)
            self._waiting[row] = (digest, derived)
            if len(self._waiting) == self._batch_size:
                self._encode()

    def finish(self) -> None:
        """Encode the last batch, and look up the features of contents that another file has too."""
        if self._waiting:
            self._encode()
        self._store.flush()
        if self._duplicates:
            rows, found = self._store.cached_rows(stack_keys(self._duplicates.values()))
            if not found.all():
                raise OSError(f"the cache {self._store.folder} was emptied during the run: start the run again")
            self._rows[list(self._duplicates)] = rows

    def close(self) -> None:
        self._store.flush()

    def features(self) -> TeacherFeatures:
        """The features after the pass."""
        return TeacherFeatures(torch.from_numpy(self._rows.astype(np.float32)), torch.from_numpy(self._bad))

    def _encode(self) -> None:
        prepared = torch.from_numpy(np.stack([derived for _, derived in self._waiting.values()]))
        rows = encode_rows(self._teacher, prepared, self._batch_size)
        self._rows[list(self._waiting)] = rows
        self._store.add([digest for digest, _ in self._waiting.values()], rows)
        self._waiting.clear()


def image_features(
    teacher: Teacher,
    paths: Sequence[Path],
    *,
    cache: Path,
    view: View = "center",
    threads: int | None = None,
    background: str = WHITE,
    hooks: PipelineHooks | None = None,
) -> TeacherFeatures:
    """The teacher's features of image files, from `cache` if they are there.

    `threads` read and decode (default: number of cores, at most 8). Transparent parts show `background`. Progress
    counts cached images as done. A file that cannot be read or decoded is reported to `hooks` (without hooks, logged)
    and marked bad. Raises Stopped, with the finished features in the cache, and TeacherError for features that are not
    finite.
    """
    hooks = hooks or logging_hooks()
    encoder = FeatureEncoder(teacher, paths, cache=cache, view=view, hooks=hooks)
    num_workers = threads or min(8, os.cpu_count() or 1)
    read_images(paths, [encoder], cache=cache, num_workers=num_workers, hooks=hooks, background=background)
    return encoder.features()


def image_cache(teacher: Teacher, cache: Path, view: View) -> RowCache[np.float16]:
    """The cached features of whole images, below the folder `cache`."""
    folder = cache / "image" / key_of(teacher.digest, teacher.preprocess_digest, view).hex()[:32]
    return RowCache(folder, width=teacher.width, dtype=np.float16)


def image_keys(teacher: Teacher, digests: Keys, view: View) -> Keys:
    """The cache keys (N, 32) of the features of images with these `digests` (N, 32)."""
    return stack_keys(key_of(digest.tobytes(), teacher.digest, teacher.preprocess_digest, view) for digest in digests)


class _FeatureStore:
    """The cache of features by content, with a buffer of rows to be written."""

    def __init__(self, teacher: Teacher, cache: Path, view: View) -> None:
        self._teacher, self._view = teacher, view
        self._cache = image_cache(teacher, cache, view)
        self.folder = self._cache.folder
        self._cached_keys: frozenset[bytes] = frozenset()
        self._new: list[tuple[bytes, Features]] = []
        self._flushed_at = time.monotonic()

    def _key(self, digest: bytes) -> bytes:
        return image_keys(self._teacher, stack_keys([digest]), self._view).tobytes()

    def cached_rows(self, digests: Keys) -> tuple[Features, Mask]:
        """Cached features (N, D) float16 of file contents (N, 32), and whether each was found."""
        return self._cache.get(image_keys(self._teacher, digests, self._view))

    def load_cached_keys(self, *, needed: bool) -> None:
        """Load the keys of all cached features, if `needed`, so that cached contents are not decoded."""
        self._cached_keys = self._cache.keys() if needed else frozenset()

    def has_key(self, digest: bytes) -> bool:
        """Whether `load_cached_keys` found a feature of this content."""
        return self._key(digest) in self._cached_keys

    def add(self, digests: Sequence[bytes], rows: Features) -> None:
        """Buffer features (B, D), and write the buffer if it is long or old."""
        self._new += zip(digests, rows, strict=True)
        if len(self._new) >= FLUSH_EVERY_ROWS or time.monotonic() - self._flushed_at > FLUSH_EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Write the buffer to the cache."""
        if self._new:
            keys = image_keys(self._teacher, stack_keys(digest for digest, _ in self._new), self._view)
            self._cache.add(keys, np.stack([row for _, row in self._new]))
            self._new = []
        self._flushed_at = time.monotonic()


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
