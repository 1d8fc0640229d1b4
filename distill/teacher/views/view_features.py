"""Teacher features of the student's crops: V sampled views per image, cached, or every view of the run, live.

The teacher gets the same crop as the student (arXiv:2307.03135 always shows it one other view), cut from the same image
at the teacher's own size and normalised by the teacher's mean and std. RandAugment, colour and erasing apply only to
the student's image, unless `augmentation.teacher` is `all`. The key of a cached feature covers the content of the image
file, the teacher, its preprocessing and the parameters of the view (arXiv:2311.17049 also stores them together), so
views for another seed or crop scale miss. Cached and live features use the same preprocessing function. B and N images,
V views of each, D embedding width, T side of the teacher's images. The student's images need not be square: a view is
the same region of both.
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distill import Stopped
from distill.config.image_size import ImageSize, Size
from distill.data.counter_rng import Ints
from distill.data.crops import Views, crop_views
from distill.data.decoded_images import PixelRows, train_size
from distill.data.draws.mixtures import Mixture
from distill.data.image_store import Mask
from distill.data.row_cache import Keys, RowCache, key_of, stack_keys
from distill.hooks import PipelineHooks
from distill.teacher.image_features import CPU_BATCH, FLUSH_EVERY_ROWS, FLUSH_EVERY_S, GPU_BATCH, Features, encode_rows
from distill.teacher.teacher import Teacher, TeacherError

FORMAT = "limbeck view 1: bilinear crop of the squashed picture"


def teacher_side_px(teacher: Teacher) -> int:
    """Side T of the images from which a teacher's views are cut. Raises TeacherError if its input is not square."""
    height, width = teacher.preprocess["size"]
    if height != width:
        raise TeacherError(
            "teacher_unsupported",
            f"{teacher.ref} takes images of {width} by {height} px, but views are square: set view to center or squash",
        )
    return train_size(int(height)).height


@dataclass(frozen=True, eq=False)
class LiveTeacher:
    """A teacher and the images its views are cut from: `pixels` (N, T, T, 3), in the rows of the student's images."""

    teacher: Teacher
    pixels: PixelRows

    def features(self, pixels: Tensor, views: Views, image_px: Size, mixture: Mixture | None = None) -> Tensor:
        """Features (B, D) float32 of `pixels` (B, T, T, 3) uint8 in views sampled for images of `image_px`.

        `mixture`: the images that are mixed. Raises TeacherError for features that are not finite.
        """
        inputs = teacher_inputs(self.teacher, pixels, views, image_px)
        if mixture is not None:
            partners = teacher_inputs(self.teacher, mixture.teacher_pixels, mixture.views, image_px)
            inputs = mixture.mixed(inputs, partners)
        features = self.teacher.encode_images(inputs)
        if not torch.isfinite(features).all():
            raise TeacherError(
                "teacher_not_finite",
                f"{self.teacher.ref} gives image features that are not finite: check its weights",
            )
        return features


def teacher_inputs(teacher: Teacher, pixels: Tensor, views: Views, image_px: Size) -> Tensor:
    """The teacher's input (B, 3, H, W): `pixels` (B, T, T, 3) uint8 in `views` sampled for images of `image_px`."""
    size = ImageSize.of(image_px)
    across, down = pixels.shape[2] / size.width, pixels.shape[1] / size.height
    views = replace(views.of_teacher(), boxes=views.boxes * np.array([across, down, across, down]))
    crops = crop_views(pixels.to(teacher.device), views, int(teacher.preprocess["size"][0]))  # (B, 3, H, W) of 0..255
    mean, std = (
        torch.tensor(teacher.preprocess[name], device=crops.device).mul(255).view(1, 3, 1, 1)
        for name in ("mean", "std")
    )
    return (crops - mean) / std


def view_cache(teacher: Teacher, cache: Path) -> RowCache[np.float16]:
    """The cached features of a teacher's views, below the folder `cache`."""
    folder = cache / "image" / key_of(teacher.digest, teacher.preprocess_digest, FORMAT).hex()[:32]
    return RowCache(folder, width=teacher.width, dtype=np.float16)


def view_keys(contents: Keys, views: Views, image_px: Size) -> Keys:
    """The cache keys (N * V, 32) of the V `views` of images `contents` (N, 32), sampled for images of `image_px`."""
    size, num_views = ImageSize.of(image_px), views.flips.shape[1]
    views = views.of_teacher()
    return stack_keys(
        key_of(
            contents[row].tobytes(),
            f"{views.boxes[row, view].tolist()} of {size}, {views.flips[row, view]}{_augmented(views, row, view)}",
        )
        for row in range(len(contents))
        for view in range(num_views)
    )


def _augmented(views: Views, row: int, view: int) -> str:
    """What the key of a view has beside crop and flip; empty for a teacher that sees only these."""
    parts = []
    if views.ops is not None:
        signed = (views.ops.kinds[row, view].tolist(), views.ops.negative[row, view].tolist())
        parts.append(f", operations {signed} of {views.ops.magnitude}")
    if views.retouching is not None:
        of_view = (views.retouching.factors[row, view].tolist(), views.retouching.erased[row, view].tolist())
        parts.append(f", retouched {of_view}")
    return "".join(parts)


@dataclass(frozen=True, eq=False)
class ViewBatch:
    """Views to encode together: `rows`, `turns` (B,), the image and the number of each view, and `pixels` (B, T, T, 3)
    uint8 on the teacher's device."""

    rows: Ints
    turns: Ints
    pixels: Tensor


class TeacherViews:
    """The teacher's features of V views of each image: those in `cache`, and the others when they are encoded.

    `pixels`: (N, T, T, 3). `contents`: (N, 32), digests of the files. `usable`: rows that get features; the others
    have zeros. `views`: boxes (N, V, 4), sampled for images of `image_px`. `features` (N, V, D) float16 is filled in
    place, as views are encoded while the training goes on; `missing` (N, V) are those that are not there yet.
    """

    def __init__(
        self,
        teacher: Teacher,
        pixels: PixelRows,
        contents: Keys,
        usable: Ints,
        views: Views,
        *,
        image_px: Size,
        cache: Path,
    ) -> None:
        self._teacher, self._pixels, self._contents, self._views = teacher, pixels, contents, views
        self._size = ImageSize.of(image_px)
        self._store = view_cache(teacher, cache)
        self.batch_size = GPU_BATCH if teacher.device.type == "cuda" else CPU_BATCH
        num_images, num_views = views.flips.shape
        self._features: Features = np.zeros((num_images, num_views, teacher.width), dtype=np.float16)
        self.features = torch.from_numpy(self._features)  # the same memory
        self.missing: Mask = np.zeros((num_images, num_views), dtype=np.bool_)
        self.missing[usable] = True
        self._unsaved: list[tuple[Ints, Ints]] = []
        self._flushed_at = time.monotonic()
        self.look_up()

    def look_up(self) -> None:
        """Take what the cache has by now of the missing features."""
        rows, turns = np.nonzero(self.missing)
        found = self._store.open(self._keys(rows, turns))
        self._features[rows[found.found], turns[found.found]] = found.read()[found.found]
        self.missing[rows[found.found], turns[found.found]] = False

    def batch(self, rows: Ints, turns: Ints) -> ViewBatch:
        """The pixels of at most `batch_size` views, read from the images."""
        distinct, place = np.unique(rows, return_inverse=True)
        pixels = torch.from_numpy(self._pixels[distinct])[torch.from_numpy(place.reshape(-1))]
        if self._teacher.device.type == "cuda":
            pixels = pixels.pin_memory().to(self._teacher.device, non_blocking=True)
        return ViewBatch(rows, turns, pixels)

    def encode(self, batch: ViewBatch) -> None:
        """Encode a batch. Raises TeacherError for features that are not finite."""
        views = self._views.take((batch.rows, batch.turns))
        inputs = teacher_inputs(self._teacher, batch.pixels, views, self._size)
        self._features[batch.rows, batch.turns] = encode_rows(self._teacher, inputs, self.batch_size)
        self.missing[batch.rows, batch.turns] = False
        self._unsaved.append((batch.rows, batch.turns))
        num_unsaved = sum(len(rows) for rows, _ in self._unsaved)
        if num_unsaved >= FLUSH_EVERY_ROWS or time.monotonic() - self._flushed_at > FLUSH_EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Write the new features to the cache."""
        if self._unsaved:
            rows, turns = (np.concatenate(parts) for parts in zip(*self._unsaved, strict=True))
            self._store.add(self._keys(rows, turns), self._features[rows, turns])
            self._unsaved.clear()
        self._flushed_at = time.monotonic()

    def encode_all(self, hooks: PipelineHooks | None = None, *, turns: slice = slice(None)) -> Tensor:
        """Encode all missing views, or those of some `turns`, now. Returns the features (N, V, D) of all.

        Raises Stopped, with the finished features in the cache, and TeacherError for features that are not finite.
        """
        hooks = hooks or PipelineHooks()
        wanted = np.zeros_like(self.missing)
        wanted[:, turns] = self.missing[:, turns]
        rows, numbers = np.nonzero(wanted)
        total = wanted[:, turns].size
        num_found = total - len(rows)
        for start in range(0, len(rows) + 1, self.batch_size):
            done = num_found + min(start, len(rows))
            hooks.progress(done, total, "views")
            if hooks.stop_requested():
                self.flush()
                raise Stopped(f"{done} of {total} views have their teacher features")
            at = slice(start, start + self.batch_size)
            if len(rows[at]):
                self.encode(self.batch(rows[at], numbers[at]))
        self.flush()
        return self.features

    def _keys(self, rows: Ints, turns: Ints) -> Keys:
        """The cache keys (n, 32) of views."""
        one_each = self._views.take((rows, turns)).take((slice(None), None))
        return view_keys(self._contents[rows], one_each, self._size)
