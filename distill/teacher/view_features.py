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
from collections.abc import Callable
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


def view_features(
    teacher: Teacher,
    pixels: PixelRows,
    contents: Keys,
    usable: Ints,
    views: Views,
    *,
    image_px: Size,
    cache: Path,
    hooks: PipelineHooks | None = None,
) -> Tensor:
    """The teacher's features (N, V, D) float16 of V views of each image, from `cache` if they are there.

    `pixels`: (N, T, T, 3). `contents`: (N, 32), digests of the files. `usable`: rows to encode; the others get zeros.
    `views`: boxes (N, V, 4), sampled for images of `image_px`. Raises Stopped, with the finished features in the cache,
    and TeacherError for features that are not finite.
    """
    (num_images, num_views), size = views.flips.shape, ImageSize.of(image_px)
    store = view_cache(teacher, cache)
    keys = view_keys(contents[usable], views.take(usable), size)

    def encode(at: Ints, batch_size: int) -> Features:
        """Features (B, D) float16 at positions `at` (B,) of `keys`."""
        rows, view = usable[at // num_views], at % num_views
        distinct, place = np.unique(rows, return_inverse=True)
        images = torch.from_numpy(pixels[distinct])[torch.from_numpy(place)]
        return encode_rows(teacher, teacher_inputs(teacher, images, views.take((rows, view)), size), batch_size)

    batch_size = GPU_BATCH if teacher.device.type == "cuda" else CPU_BATCH
    encoded = _cached_rows(store, keys, encode, batch_size, hooks or PipelineHooks())
    features: Features = np.zeros((num_images, num_views, teacher.width), dtype=np.float16)
    features[usable] = encoded.reshape(-1, num_views, teacher.width)
    return torch.from_numpy(features)


def _cached_rows(
    store: RowCache[np.float16],
    keys: Keys,
    encode: Callable[[Ints, int], Features],
    batch_size: int,
    hooks: PipelineHooks,
) -> Features:
    """The row of each key from `store`; missing ones are computed in batches by `encode` and added to it."""
    rows, found = store.get(keys)
    missing = np.flatnonzero(~found)
    num_found = len(keys) - len(missing)
    unsaved: list[int] = []
    flushed_at = time.monotonic()

    def flush() -> None:
        nonlocal flushed_at
        store.add(keys[unsaved], rows[unsaved])
        unsaved.clear()
        flushed_at = time.monotonic()

    for start in range(0, len(missing) + 1, batch_size):
        hooks.progress(num_found + min(start, len(missing)), len(keys), "views")
        if hooks.stop_requested():
            flush()
            raise Stopped(f"{num_found + start} of {len(keys)} views have their teacher features")
        at = missing[start : start + batch_size]
        if len(at) == 0:
            break
        rows[at] = encode(at, batch_size)
        unsaved.extend(at.tolist())
        if len(unsaved) >= FLUSH_EVERY_ROWS or time.monotonic() - flushed_at > FLUSH_EVERY_S:
            flush()
    flush()
    return rows
