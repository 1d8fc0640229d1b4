"""Crops: the part of an image that student and teacher see, with flip and RandAugment.

The student sees a new view in each pass (`sample_views`). The teacher sees, by the setting `view`: the same views, of
which `num_views` per image are sampled once and cached (`same`: `sample_shared_views`, used for both), every view of
the student (`live`), or its own preprocessing of the image (`center`, `squash`: `distill.teacher.image_features`).

A view is a function of (seed, pass, image), so it can be reproduced. `crop_views` applies views to a whole batch on the
device; it reads the image with coordinates clamped to the crop, like an unantialiased resize of the crop. The published
code (arXiv:2307.03135) transforms the stacked tensor with one crop and one flip per batch; to reproduce it,
`Augmentation.per` = `batch` gives the whole batch the view of one image.
N images of the dataset, B of a batch, V views per image, S side of the stored images in pixels, P side of the output.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from distill.config.train_config import Augmentation
from distill.data.counter_rng import Ints, uniform
from distill.data.randaugment import Ops, rand_augment, sample_ops
from distill.data.row_cache import Keys

ATTEMPTS = 10


@dataclass(frozen=True, eq=False)
class Views:
    """Crop and flip of each image: `boxes` (B, 4) as left, top, width, height in pixels; `flips` (B,) bool.

    `ops`: RandAugment operations to apply before the crop, or None.
    """

    boxes: npt.NDArray[np.number]
    flips: npt.NDArray[np.bool_]
    ops: Ops | None = None

    def take(self, at: Ints | slice | tuple[Ints, Ints | int]) -> "Views":
        """The views at the numpy index `at`."""
        ops = self.ops and Ops(self.ops.kinds[at], self.ops.negative[at], self.ops.magnitude)
        return Views(self.boxes[at], self.flips[at], ops)


def sample_views(seed: int, pass_index: int, images: Ints, *, side_px: int, augmentation: Augmentation) -> Views:
    """One view per image of `images` (B,), distributed as torchvision's RandomResizedCrop on square images.

    Makes up to 10 attempts at an area in `crop_scale` and a ratio in `crop_ratio` that fit, else takes the whole image.
    """
    width, height = _sample_sizes(seed, pass_index, images, side_px, augmentation)
    left = np.floor(uniform(seed, pass_index, images, 2) * (side_px - width + 1))
    top = np.floor(uniform(seed, pass_index, images, 3) * (side_px - height + 1))
    flips = uniform(seed, pass_index, images, 4) < (0.5 if augmentation.flip else 0.0)
    boxes = np.stack([left, top, width, height], axis=1).astype(np.int64)
    return Views(boxes, flips, sample_augmentations(seed, pass_index, images, augmentation))


def sample_shared_views(
    seed: int, contents: Keys, *, num_views: int, side_px: int, augmentation: Augmentation
) -> Views:
    """`num_views` crops and flips for each of `contents` (N, 32): boxes (N, V, 4) in images of `side_px`.

    Sampled by the content of the image file, so they do not depend on the other images of the dataset.
    """
    images = np.ascontiguousarray(contents[:, :8]).view(np.int64)[:, 0]
    plain = augmentation.model_copy(update={"rand_ops": 0})
    sampled = [sample_views(seed, view, images, side_px=side_px, augmentation=plain) for view in range(num_views)]
    return Views(np.stack([view.boxes for view in sampled], axis=1), np.stack([view.flips for view in sampled], axis=1))


def _sample_sizes(
    seed: int, pass_index: int, images: Ints, side_px: int, augmentation: Augmentation
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Crop widths and heights (B,) in pixels, whole numbers."""
    crop_scale, crop_ratio = augmentation.crop_scale, augmentation.crop_ratio
    attempts = np.arange(ATTEMPTS)[None, :]

    def sample(purpose: int) -> npt.NDArray[np.float64]:
        return uniform(seed, pass_index, images[:, None], purpose, attempts)  # (B, attempts)

    area = side_px**2 * (crop_scale[0] + sample(0) * (crop_scale[1] - crop_scale[0]))
    low, high = np.log(crop_ratio)
    ratio = np.exp(low + sample(1) * (high - low))
    width, height = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
    fits = (width >= 1) & (height >= 1) & (width <= side_px) & (height <= side_px)
    first_fit = fits.argmax(axis=1)[:, None]

    def chosen(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.where(fits.any(axis=1), np.take_along_axis(values, first_fit, axis=1)[:, 0], side_px)

    return chosen(width), chosen(height)


def sample_augmentations(seed: int, pass_index: int, images: Ints, augmentation: Augmentation) -> Ops | None:
    """RandAugment operations for each of `images` (B,), or None if `augmentation` has none."""
    if augmentation.rand_ops == 0:
        return None
    return sample_ops(seed, pass_index, images, num_ops=augmentation.rand_ops, magnitude=augmentation.rand_magnitude)


def crop_views(pixels: Tensor, views: Views, image_px: int) -> Tensor:
    """Apply the views to `pixels` (B, S, S, 3) uint8: (B, 3, P, P) float32 in 0..255, bilinear."""
    if views.ops is not None:
        pixels = rand_augment(pixels, views.ops)
    device, side = pixels.device, pixels.shape[1]
    boxes = torch.from_numpy(views.boxes).to(device, torch.float32)  # (B, 4)
    flips = torch.from_numpy(views.flips).to(device)
    left, top, width, height = boxes.unbind(dim=1)
    x = _sample_positions(left, width, image_px, side)  # (B, P)
    y = _sample_positions(top, height, image_px, side)
    x = torch.where(flips[:, None], x.flip(1), x)
    grid = torch.stack(
        [x[:, None, :].expand(-1, image_px, -1), y[:, :, None].expand(-1, -1, image_px)], dim=-1
    )  # (B, P, P, 2)
    # Half-precision coordinates would be rounded, so sample in float32 even under autocast.
    with torch.autocast(device.type, enabled=False):
        return F.grid_sample(pixels.permute(0, 3, 1, 2).float(), grid, padding_mode="border", align_corners=False)


def _sample_positions(start: Tensor, length: Tensor, image_px: int, side: int) -> Tensor:
    """The positions (B, P) on one axis that the output pixels read, in grid_sample's range -1..1, within the crop."""
    steps = torch.arange(image_px, device=start.device) + 0.5
    at = steps[None, :] * (length / image_px)[:, None] - 0.5  # (B, P), relative to the crop
    at = start[:, None] + torch.minimum(at.clamp(min=0), (length - 1).clamp(min=0)[:, None])
    return (2 * at + 1) / side - 1


def center_crop(pixels: Tensor, image_px: int) -> Tensor:
    """The centre of `pixels` (B, S, S, 3) uint8: (B, 3, P, P) uint8, a view of the same memory. S >= P."""
    start = (pixels.shape[1] - image_px) // 2
    cut = pixels[:, start : start + image_px, start : start + image_px]
    return cut.permute(0, 3, 1, 2)
