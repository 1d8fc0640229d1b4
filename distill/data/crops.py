"""RandAugment, random resized crop and flip, drawn for each image and carried out on the device for a whole batch.

`sample_views` is a function of (seed, pass, image), so that the same view can be made again; `crop_views` reads clamped to
the crop, as a resize of the cut-out crop without antialiasing would. The published code (arXiv:2307.03135) transforms
the stacked tensor, one crop and one flip for a whole batch: asked for as such, a batch is given the view of one image.
B images, S side of the stored pictures, P of the output.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from distill.config.train_config import Augmentation
from distill.data.counter_rng import Ints, uniform
from distill.data.randaugment import Ops, rand_augment, sample_ops

ATTEMPTS = 10


@dataclass(frozen=True, eq=False)
class Views:
    """What is seen of each image: `boxes` (B, 4) as left, top, width, height in pixels; `flips` (B,) bool.

    `ops`: what RandAugment does to the stored picture before, or None.
    """

    boxes: npt.NDArray[Any]
    flips: npt.NDArray[np.bool_]
    ops: Ops | None = None

    def take(self, at: Any) -> "Views":
        """The views at numpy's index `at`."""
        ops = self.ops and Ops(self.ops.kinds[at], self.ops.negative[at], self.ops.magnitude)
        return Views(self.boxes[at], self.flips[at], ops)


def sample_views(seed: int, pass_index: int, images: Ints, *, side_px: int, augmentation: Augmentation) -> Views:
    """A view of each of `images` (B,), drawn as torchvision's RandomResizedCrop draws from square pictures.

    Up to 10 tries at an area within `crop_scale` and a ratio within `crop_ratio` that fit, else the whole picture.
    """
    crop_scale, crop_ratio = augmentation.crop_scale, augmentation.crop_ratio
    tries = np.arange(ATTEMPTS)[None, :]

    def draw(what: int) -> npt.NDArray[np.float64]:
        return uniform(seed, pass_index, images[:, None], what, tries)  # (B, tries)

    area = side_px**2 * (crop_scale[0] + draw(0) * (crop_scale[1] - crop_scale[0]))
    low, high = np.log(crop_ratio)
    ratio = np.exp(low + draw(1) * (high - low))
    width, height = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
    fits = (width >= 1) & (height >= 1) & (width <= side_px) & (height <= side_px)
    first = fits.argmax(axis=1)[:, None]

    def taken(values: npt.NDArray[np.float64], otherwise: float) -> npt.NDArray[np.float64]:
        chosen = np.take_along_axis(values, first, axis=1)[:, 0]
        return np.where(fits.any(axis=1), chosen, otherwise)

    width, height = taken(width, side_px), taken(height, side_px)
    left = np.floor(uniform(seed, pass_index, images, 2) * (side_px - width + 1))
    top = np.floor(uniform(seed, pass_index, images, 3) * (side_px - height + 1))
    flips = uniform(seed, pass_index, images, 4) < (0.5 if augmentation.flip else 0.0)
    boxes = np.stack([left, top, width, height], axis=1).astype(np.int64)
    return Views(boxes, flips, sample_augmentations(seed, pass_index, images, augmentation))


def sample_augmentations(seed: int, pass_index: int, images: Ints, augmentation: Augmentation) -> Ops | None:
    """RandAugment's operations for each of `images` (B,), where `augmentation` has any."""
    if augmentation.rand_ops == 0:
        return None
    return sample_ops(seed, pass_index, images, num_ops=augmentation.rand_ops, magnitude=augmentation.rand_magnitude)


def crop_views(pixels: Tensor, views: Views, image_px: int) -> Tensor:
    """What the views show of `pixels` (B, S, S, 3) uint8: (B, 3, P, P) float32 of 0..255, bilinear."""
    if views.ops is not None:
        pixels = rand_augment(pixels, views.ops)
    device, side = pixels.device, pixels.shape[1]
    boxes = torch.from_numpy(views.boxes).to(device, torch.float32)  # (B, 4)
    flips = torch.from_numpy(views.flips).to(device)
    left, top, width, height = boxes.unbind(dim=1)
    x = _read_at(left, width, image_px, side)  # (B, P)
    y = _read_at(top, height, image_px, side)
    x = torch.where(flips[:, None], x.flip(1), x)
    grid = torch.stack(
        [x[:, None, :].expand(-1, image_px, -1), y[:, :, None].expand(-1, -1, image_px)], dim=-1
    )  # (B, P, P, 2)
    # Half formats would round the coordinates themselves: float32 whatever autocast says.
    with torch.autocast(device.type, enabled=False):
        return F.grid_sample(pixels.permute(0, 3, 1, 2).float(), grid, padding_mode="border", align_corners=False)


def _read_at(start: Tensor, length: Tensor, image_px: int, side: int) -> Tensor:
    """Where on an axis each output pixel reads, in grid_sample's units of -1..1; never outside the crop."""
    steps = torch.arange(image_px, device=start.device) + 0.5
    at = steps[None, :] * (length / image_px)[:, None] - 0.5  # (B, P), within the crop
    at = start[:, None] + torch.minimum(at.clamp(min=0), (length - 1).clamp(min=0)[:, None])
    return (2 * at + 1) / side - 1


def center_crop(pixels: Tensor, image_px: int) -> Tensor:
    """The centre of `pixels` (B, S, S, 3) uint8: (B, 3, P, P) uint8, of the same memory. S is at least P."""
    start = (pixels.shape[1] - image_px) // 2
    cut = pixels[:, start : start + image_px, start : start + image_px]
    return cut.permute(0, 3, 1, 2)
