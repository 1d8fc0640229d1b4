"""Colour jitter and random erasing of crops, one sample for each image, on the device.

Brightness, contrast and saturation have factors from 1 - `colour` to 1 + `colour`, applied in this order as
torchvision's ColorJitter does each of them. With probability `erase` a rectangle of 2 to 33% of the crop, of ratio 0.3
to 3.3, is replaced by grey (arXiv:1708.04896 replaces it by noise, which the teacher could not see in the same way).
Rectangles are shares of the crop, so that student and teacher see the same one at their own size. A sample is a
function of (seed, pass, image). B images, P and Q height and width of the crop.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distill.config.train_config import Augmentation
from distill.data.counter_rng import Ints, uniform

Floats = npt.NDArray[np.float64]
Index = Ints | slice | tuple[Ints | slice | None, ...] | tuple[Ints, Ints | int]

# RNG keys (`distill.data.counter_rng`); `distill.data.crops` and `distill.data.randaugment` use the smaller ones.
_FACTORS, _ERASED, _AREA, _RATIO, _LEFT, _TOP = (32, 33, 34), 35, 36, 37, 38, 39
_AREAS, _RATIOS = (0.02, 0.33), (0.3, 3.3)
GREY = 127.5


@dataclass(frozen=True, eq=False)
class Retouching:
    """`factors` (B, 3) of brightness, contrast and saturation; `erased` (B, 4) rectangles as left, top, width, height,
    shares of the crop, of width 0 for none."""

    factors: Floats
    erased: Floats

    def take(self, at: Index) -> "Retouching":
        """Those at the numpy index `at`."""
        return Retouching(self.factors[at], self.erased[at])


def sample_retouching(seed: int, pass_index: int | Ints, images: Ints, augmentation: Augmentation) -> Retouching | None:
    """The retouching of each of `images` (B,), or None if `augmentation` has none. `pass_index`: a number, or (B,)."""
    if augmentation.colour == 0 and augmentation.erase == 0:
        return None
    passes = np.asarray(pass_index)
    keys = np.array(_FACTORS)[None, :]
    spread = 2 * uniform(seed, passes[..., None], images[:, None], keys) - 1  # (B, 3)

    def sample(purpose: int, low: float = 0, high: float = 1) -> Floats:
        drawn: Floats = low + (high - low) * uniform(seed, passes, images, purpose)
        return drawn

    area, ratio = sample(_AREA, *_AREAS), np.exp(sample(_RATIO, *np.log(_RATIOS)))
    width, height = np.minimum(np.sqrt(area * ratio), 1), np.minimum(np.sqrt(area / ratio), 1)
    width = np.where(sample(_ERASED) < augmentation.erase, width, 0.0)
    boxes = np.stack([sample(_LEFT) * (1 - width), sample(_TOP) * (1 - height), width, height], axis=1)
    return Retouching(1 + augmentation.colour * spread, boxes)


def retouch(crops: Tensor, retouching: Retouching) -> Tensor:
    """`crops` (B, 3, P, Q) float of 0..255, retouched; the argument is not modified."""
    factors = torch.from_numpy(retouching.factors).to(crops.device, crops.dtype)
    brightness, contrast, saturation = (column.view(-1, 1, 1, 1) for column in factors.unbind(dim=1))
    crops = (crops * brightness).clamp(0, 255)
    crops = torch.lerp(_grey(crops).mean(dim=(2, 3), keepdim=True), crops, contrast).clamp(0, 255)
    crops = torch.lerp(_grey(crops), crops, saturation).clamp(0, 255)
    return torch.where(inside(retouching.erased, crops)[:, None], GREY, crops)


def inside(boxes: Floats, crops: Tensor) -> Tensor:
    """(B, P, Q) bool: the pixels of `crops` (B, 3, P, Q) whose centre is in the `boxes` (B, 4), shares of the crop."""
    left, top, width, height = torch.from_numpy(boxes).to(crops.device, torch.float32).T[:, :, None]  # (B, 1) each
    down, across = (
        (torch.arange(side, device=crops.device, dtype=torch.float32) + 0.5) / side for side in crops.shape[2:]
    )
    columns = (across >= left) & (across < left + width)  # (B, Q)
    rows = (down >= top) & (down < top + height)  # (B, P)
    covered: Tensor = rows[:, :, None] & columns[:, None, :]
    return covered


def _grey(crops: Tensor) -> Tensor:
    red, green, blue = crops.unbind(dim=1)
    return (0.2989 * red + 0.587 * green + 0.114 * blue)[:, None]
