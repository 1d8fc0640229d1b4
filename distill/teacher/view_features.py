"""The teacher shown what the student is shown: K drawn views of each image, once and kept, or every view, live.

The student's crop (arXiv:2307.03135 always shows the teacher the same other one) is cut out of the same picture at the
teacher's own size and normalised by its mean and std; the two may differ in all of these. What RandAugment does to the
student's picture the teacher does not see. A kept feature's key holds the content of the image file, the teacher, its
preprocessing and the view's parameters (arXiv:2311.17049 stores them together too), so that another view, drawn for
another seed or crop scale, misses. Kept and live features come out of one function.
B and N images, K views of each, D embedding width, S side of the student's pictures, T of the teacher's.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distill import Stopped
from distill.config.train_config import Augmentation
from distill.data.counter_rng import Ints
from distill.data.crops import Views, crop_views, sample_views
from distill.data.decoded_images import PixelRows, train_side_px
from distill.data.row_cache import Keys, RowCache, Rows, key_of, stack_keys
from distill.hooks import PipelineHooks
from distill.teacher.image_features import CPU_BATCH, GPU_BATCH, KEEP_EVERY_ROWS, KEEP_EVERY_S, encode_rows
from distill.teacher.teacher import Teacher, TeacherError

FORMAT = "limbeck view 1: bilinear crop of the squashed picture"


def teacher_side_px(teacher: Teacher) -> int:
    """Side T of the pictures from which a teacher's views are cut. Raises TeacherError where it is shown no squares."""
    height, width = teacher.preprocess["size"]
    if height != width:
        raise TeacherError(
            "teacher_unsupported",
            f"{teacher.ref} sees pictures of {width} by {height}, and only squares can be cut as the student's views "
            "are: set view to center or squash",
        )
    return train_side_px(int(height))


def sample_shared_views(
    seed: int, contents: Keys, *, num_views: int, side_px: int, augmentation: Augmentation
) -> Views:
    """`num_views` crops and flips of each of `contents` (N, 32): boxes (N, K, 4) in a picture of `side_px`.

    Drawn for what is in an image file, so that they stay as they are whatever other images there are.
    """
    images = np.ascontiguousarray(contents[:, :8]).view(np.int64)[:, 0]
    plain = augmentation.model_copy(update={"rand_ops": 0})
    drawn = [sample_views(seed, view, images, side_px=side_px, augmentation=plain) for view in range(num_views)]
    return Views(np.stack([one.boxes for one in drawn], axis=1), np.stack([one.flips for one in drawn], axis=1))


@dataclass(frozen=True, eq=False)
class LiveTeacher:
    """A teacher with the pictures that its views are cut from: `pixels` (N, T, T, 3), row by row the student's."""

    teacher: Teacher
    pixels: PixelRows

    def features(self, pixels: Tensor, views: Views, side_px: int) -> Tensor:
        """(B, D) float32 of `pixels` (B, T, T, 3) uint8 in views drawn for pictures of `side_px`.

        Raises TeacherError where they are not finite.
        """
        features = self.teacher.encode_images(teacher_inputs(self.teacher, pixels, views, side_px))
        if not torch.isfinite(features).all():
            raise TeacherError(
                "teacher_not_finite",
                f"{self.teacher.ref} gives image features that are not finite: check its weights",
            )
        return features


def teacher_inputs(teacher: Teacher, pixels: Tensor, views: Views, side_px: int) -> Tensor:
    """What `views`, drawn for pictures of `side_px`, show of `pixels` (B, T, T, 3) uint8, as the teacher's input."""
    views = Views(views.boxes * (pixels.shape[1] / side_px), views.flips)
    seen = crop_views(pixels.to(teacher.device), views, int(teacher.preprocess["size"][0]))  # (B, 3, H, W) of 0..255
    mean, std = (
        torch.tensor(teacher.preprocess[name], device=seen.device).mul(255).view(1, 3, 1, 1) for name in ("mean", "std")
    )
    return (seen - mean) / std


def view_features(
    teacher: Teacher,
    pixels: PixelRows,
    contents: Keys,
    usable: Ints,
    views: Views,
    *,
    side_px: int,
    cache: Path,
    hooks: PipelineHooks | None = None,
) -> Tensor:
    """The teacher's features (N, K, D) float16 of K views of each image, from `cache` where it has them.

    `pixels`: (N, T, T, 3); `contents`: (N, 32), digests of the files; `usable`: rows to be encoded, the others are
    zeros; `views`: boxes (N, K, 4), drawn for pictures of `side_px`. Raises Stopped, with what was done in the cache,
    and TeacherError if the teacher gives features that are not finite.
    """
    hooks = hooks or PipelineHooks()
    num_images, num_views = views.flips.shape
    folder = cache / "image" / key_of(teacher.digest, teacher.preprocess_digest, FORMAT).hex()[:32]
    store = RowCache(folder, width=teacher.width, dtype=np.float16)
    keys = stack_keys(
        key_of(contents[row].tobytes(), f"{views.boxes[row, view].tolist()} of {side_px}, {views.flips[row, view]}")
        for row in usable
        for view in range(num_views)
    )
    found_rows, found = store.get(keys)  # (M * K, D)
    size = GPU_BATCH if teacher.device.type == "cuda" else CPU_BATCH
    fresh: list[int] = []
    kept_at = time.monotonic()

    def keep() -> None:
        nonlocal kept_at
        store.add(keys[fresh], found_rows[fresh])
        fresh.clear()
        kept_at = time.monotonic()

    missing = np.flatnonzero(~found)
    done = len(keys) - len(missing)
    for start in range(0, len(missing) + 1, size):
        hooks.progress(done + min(start, len(missing)), len(keys), "views")
        if hooks.stop_requested():
            keep()
            raise Stopped(f"{done + start} of {len(keys)} views have their teacher features")
        at = missing[start : start + size]
        if len(at) == 0:
            break
        rows, which = usable[at // num_views], at % num_views
        shown, place = np.unique(rows, return_inverse=True)
        pictures = torch.from_numpy(pixels[shown])[torch.from_numpy(place)]
        seen = teacher_inputs(teacher, pictures, views.take((rows, which)), side_px)
        found_rows[at] = encode_rows(teacher, seen, size)
        fresh.extend(at.tolist())
        if len(fresh) >= KEEP_EVERY_ROWS or time.monotonic() - kept_at > KEEP_EVERY_S:
            keep()
    keep()
    features: Rows = np.zeros((num_images, num_views, teacher.width), dtype=np.float16)
    features[usable] = found_rows.reshape(-1, num_views, teacher.width)
    return torch.from_numpy(features)
