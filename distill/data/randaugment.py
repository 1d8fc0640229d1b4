"""RandAugment (Cubuk et al. 2019, arXiv:1909.13719) with separate operations per image, on the device, per batch.

The fourteen operations, magnitudes and rounding are torchvision's: the result equals its RandAugment on a tensor to the
bit (nearest neighbour, black outside). The operations and signs of an image are a function of (seed, pass, image), like
its crop. All geometric operations of a round share one grid_sample call; all blends take one factor per image.
B images, S and T height and width in pixels, R operations in sequence.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import functional as transforms
from torchvision.transforms.v2.functional import equalize_image

from distill.data.counter_rng import Ints, uniform

# In the order of torchvision's RandAugment.
OPS = (
    "Identity",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "Rotate",
    "Brightness",
    "Color",
    "Contrast",
    "Sharpness",
    "Posterize",
    "Solarize",
    "AutoContrast",
    "Equalize",
)
GEOMETRIC, BLENDING = OPS[1:6], OPS[6:10]
BINS = 31
# First RNG key of these samples (`distill.data.counter_rng`); `distill.data.crops` uses the smaller ones.
_FIRST_KEY = 8


@dataclass(frozen=True, eq=False)
class Ops:
    """`kinds` (B, R) int64 indices into `OPS`; `negative` (B, R) bool, for signed operations; `magnitude` in 0..30."""

    kinds: Ints
    negative: npt.NDArray[np.bool_]
    magnitude: int


def sample_ops(seed: int, pass_index: int | Ints, images: Ints, *, num_ops: int, magnitude: int) -> Ops:
    """`num_ops` operations for each of `images` (B,), uniform with replacement. `pass_index`: one number, or (B,)."""
    op_keys = _FIRST_KEY + 2 * np.arange(num_ops)[None, :]
    passes = np.asarray(pass_index)[..., None]
    kinds = (uniform(seed, passes, images[:, None], op_keys) * len(OPS)).astype(np.int64)
    return Ops(kinds, uniform(seed, passes, images[:, None], op_keys + 1) < 0.5, magnitude)


def rand_augment(pixels: Tensor, ops: Ops) -> Tensor:
    """`pixels` (B, S, T, 3) uint8 with each image's operations applied; the argument is not modified."""
    images = pixels.permute(0, 3, 1, 2)  # (B, 3, S, T)
    for kinds, negative in zip(ops.kinds.T, ops.negative.T, strict=True):
        images = _apply_round(images, kinds, np.where(negative, -1.0, 1.0), ops.magnitude)
    return images.permute(0, 2, 3, 1)


def _apply_round(images: Tensor, kinds: Ints, signs: npt.NDArray[np.float64], magnitude: int) -> Tensor:
    """Apply one operation to each of `images` (B, 3, S, T) uint8: `kinds` (B,) with `signs` (B,) of 1 or -1."""
    changed = images.clone()

    def change(rows: Ints, operation: Callable[[Tensor], Tensor]) -> None:
        if len(rows):
            at = torch.from_numpy(rows).to(images.device, non_blocking=True)
            changed.index_copy_(0, at, operation(images.index_select(0, at)))

    rows = np.flatnonzero(np.isin(kinds, [OPS.index(name) for name in GEOMETRIC]))
    change(rows, partial(_warp, kinds=kinds[rows], signs=signs[rows], magnitude=magnitude))
    for name, other in _BLENDED_WITH.items():
        rows = np.flatnonzero(kinds == OPS.index(name))
        change(rows, partial(_blend, other=other, factors=1 + signs[rows] * _strength(0.9, magnitude)))
    for name, operation in _OTHER_OPS.items():
        change(np.flatnonzero(kinds == OPS.index(name)), partial(operation, magnitude=magnitude))
    return changed


def _warp(images: Tensor, *, kinds: Ints, signs: npt.NDArray[np.float64], magnitude: int) -> Tensor:
    """Apply each image's geometric operation."""
    height, width = images.shape[-2:]
    matrices = np.stack(
        [_matrix(OPS[kind], sign, magnitude, height, width) for kind, sign in zip(kinds, signs, strict=True)]
    )
    matrix = torch.from_numpy(matrices).to(images.device, torch.float32)  # (B, 2, 3)
    # To match torchvision to the bit: output coordinates in pixels from the centre, scaled to -1..1 last.
    x, y = (
        torch.linspace(-side * 0.5 + 0.5, side * 0.5 - 0.5, steps=side, device=images.device)
        for side in (width, height)
    )
    base = torch.stack([x.expand(height, -1), y[:, None].expand(-1, width), torch.ones_like(x).expand(height, -1)], -1)
    half = torch.tensor([0.5 * width, 0.5 * height], device=images.device)
    grid = base.reshape(1, -1, 3).expand(len(images), -1, -1).bmm(matrix.transpose(1, 2) / half)
    with torch.autocast(images.device.type, enabled=False):
        sampled = F.grid_sample(
            images.float(), grid.view(-1, height, width, 2), mode="nearest", padding_mode="zeros", align_corners=False
        )
    return sampled.round().to(torch.uint8)


def _matrix(name: str, sign: float, magnitude: int, height: int, width: int) -> npt.NDArray[np.float64]:
    """The affine map (2, 3) from output to input coordinates, in pixels from the centre."""
    if name in ("ShearX", "ShearY"):
        # About the corner of the image, as in the published policy.
        shear = sign * _strength(0.3, magnitude)
        if name == "ShearX":
            return np.array([[1, shear, shear * (height * 0.5)], [0, 1, 0]])
        return np.array([[1, 0, 0], [shear, 1, shear * (width * 0.5)]])
    if name == "Rotate":
        angle = math.radians(sign * _strength(30, magnitude))
        return np.array([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0]])
    shift = int(sign * _strength(150 / 331 * (width if name == "TranslateX" else height), magnitude))
    return np.array([[1, 0, -shift], [0, 1, 0]] if name == "TranslateX" else [[1, 0, 0], [0, 1, -shift]])


def _strength(largest: float, magnitude: int) -> float:
    # In float32 like torchvision's tables, because the last bit can decide the direction of rounding.
    return float(torch.linspace(0, largest, BINS)[magnitude])


def _blend(images: Tensor, *, other: Callable[[Tensor], Tensor], factors: npt.NDArray[np.float64]) -> Tensor:
    """factor * image + (1 - factor) * other(image), one factor per image, clamped to 0..255 and rounded down."""
    weight, other_weight = (
        torch.from_numpy(values).to(images.device, torch.float32).view(-1, 1, 1, 1) for values in (factors, 1 - factors)
    )
    return (weight * images + other_weight * other(images)).clamp(0, 255).to(torch.uint8)


def _grey(images: Tensor) -> Tensor:
    red, green, blue = images.unbind(dim=1)
    return (0.2989 * red + 0.587 * green + 0.114 * blue).to(torch.uint8)[:, None]


def _blurred(images: Tensor) -> Tensor:
    kernel = torch.ones(3, 1, 3, 3, device=images.device)
    kernel[:, :, 1, 1] = 5.0
    blurred = images.clone()  # torchvision leaves the border unchanged
    with torch.autocast(images.device.type, enabled=False):
        interior = F.conv2d(images.float(), kernel / 13.0, groups=3)
    blurred[..., 1:-1, 1:-1] = interior.round().to(torch.uint8)
    return blurred


def _posterize(images: Tensor, *, magnitude: int) -> Tensor:
    changed: Tensor = transforms.posterize(images, 8 - round(magnitude * 4 / (BINS - 1)))
    return changed


def _solarize(images: Tensor, *, magnitude: int) -> Tensor:
    changed: Tensor = transforms.solarize(images, 255 - _strength(255, magnitude))
    return changed


def _autocontrast(images: Tensor, *, magnitude: int) -> Tensor:
    changed: Tensor = transforms.autocontrast(images)
    return changed


def _equalize(images: Tensor, *, magnitude: int) -> Tensor:
    # The histogram counts integers, so the order of additions does not matter, but torch refuses the operation on a GPU
    # in deterministic mode.
    was_deterministic = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        changed: Tensor = equalize_image(images)
    finally:
        torch.use_deterministic_algorithms(was_deterministic)
    return changed


# What an image is blended with, by operation.
_BLENDED_WITH: dict[str, Callable[[Tensor], Tensor]] = {
    "Brightness": torch.zeros_like,
    "Color": _grey,
    "Contrast": lambda images: _grey(images).float().mean(dim=(1, 2, 3), keepdim=True),
    "Sharpness": _blurred,
}
_OTHER_OPS: dict[str, Callable[..., Tensor]] = {
    "Posterize": _posterize,
    "Solarize": _solarize,
    "AutoContrast": _autocontrast,
    "Equalize": _equalize,
}
