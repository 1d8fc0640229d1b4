"""RandAugment (Cubuk et al. 2019, arXiv:1909.13719): each image its own operations, on the device for a whole batch.

torchvision's fourteen operations, their strengths and their rounding, so that an image comes out to the bit as its
RandAugment leaves a tensor (nearest neighbour, black outside). Which operations an image gets, and with which sign, is
a function of (seed, pass, image) like its crop. What only moves pixels is one sampling for all images that are moved;
what only mixes two pictures takes a factor an image. B images, S side in pixels, R operations one after the other.
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
MOVING, MIXING = OPS[1:6], OPS[6:10]
BINS = 31
# What these draws are about, among the keys of `distill.data.counter_rng`; `distill.data.crops` has those below.
_DRAWS = 8


@dataclass(frozen=True, eq=False)
class Ops:
    """`kinds` (B, R) int64 into `OPS`; `negative` (B, R) bool, for those that have a sign; one `magnitude` of 0..30."""

    kinds: Ints
    negative: npt.NDArray[np.bool_]
    magnitude: int


def sample_ops(seed: int, pass_index: int, images: Ints, *, num_ops: int, magnitude: int) -> Ops:
    """`num_ops` operations for each of `images` (B,), every one as likely as another, with repeats."""
    which = _DRAWS + 2 * np.arange(num_ops)[None, :]
    kinds = (uniform(seed, pass_index, images[:, None], which) * len(OPS)).astype(np.int64)
    return Ops(kinds, uniform(seed, pass_index, images[:, None], which + 1) < 0.5, magnitude)


def rand_augment(pixels: Tensor, ops: Ops) -> Tensor:
    """`pixels` (B, S, S, 3) uint8, each image changed by its own operations; the argument is left as it is."""
    images = pixels.permute(0, 3, 1, 2)  # (B, 3, S, S)
    for kinds, negative in zip(ops.kinds.T, ops.negative.T, strict=True):
        images = _one_round(images, kinds, np.where(negative, -1.0, 1.0), ops.magnitude)
    return images.permute(0, 2, 3, 1)


def _one_round(images: Tensor, kinds: Ints, signs: npt.NDArray[np.float64], magnitude: int) -> Tensor:
    changed = images.clone()

    def change(rows: Ints, work: Callable[[Tensor], Tensor]) -> None:
        if len(rows):
            at = torch.from_numpy(rows).to(images.device, non_blocking=True)
            changed.index_copy_(0, at, work(images.index_select(0, at)))

    moved = np.flatnonzero(np.isin(kinds, [OPS.index(name) for name in MOVING]))
    change(moved, lambda some: _move(some, kinds[moved], signs[moved], magnitude))
    for name, other in _MIXED_WITH.items():
        rows = np.flatnonzero(kinds == OPS.index(name))
        change(rows, partial(_mix, other=other, factors=1 + signs[rows] * _strength(0.9, magnitude)))
    for name, work in _REST.items():
        change(np.flatnonzero(kinds == OPS.index(name)), partial(work, magnitude=magnitude))
    return changed


def _move(images: Tensor, kinds: Ints, signs: npt.NDArray[np.float64], magnitude: int) -> Tensor:
    side = images.shape[-1]
    matrices = np.stack([_matrix(OPS[kind], sign, magnitude, side) for kind, sign in zip(kinds, signs, strict=True)])
    matrix = torch.from_numpy(matrices).to(images.device, torch.float32)  # (B, 2, 3)
    # As torchvision has it, to the bit: coordinates of the output in pixels from the centre, scaled to -1..1 last.
    steps = torch.linspace(-side * 0.5 + 0.5, side * 0.5 - 0.5, steps=side, device=images.device)
    base = torch.stack(
        [steps.expand(side, -1), steps[:, None].expand(-1, side), torch.ones_like(steps).expand(side, -1)], dim=-1
    )
    grid = base.reshape(1, -1, 3).expand(len(images), -1, -1).bmm(matrix.transpose(1, 2) / (0.5 * side))
    with torch.autocast(images.device.type, enabled=False):
        read = F.grid_sample(
            images.float(), grid.view(-1, side, side, 2), mode="nearest", padding_mode="zeros", align_corners=False
        )
    return read.round().to(torch.uint8)


def _matrix(name: str, sign: float, magnitude: int, side: int) -> npt.NDArray[np.float64]:
    """Where an output pixel reads, (2, 3), in pixels from the centre."""
    if name in ("ShearX", "ShearY"):
        # About the picture's corner, as the published policy has it.
        shear, half = sign * _strength(0.3, magnitude), side * 0.5
        return np.array(
            [[1, shear, shear * half], [0, 1, 0]] if name == "ShearX" else [[1, 0, 0], [shear, 1, shear * half]]
        )
    if name == "Rotate":
        turn = math.radians(sign * _strength(30, magnitude))
        return np.array([[math.cos(turn), -math.sin(turn), 0], [math.sin(turn), math.cos(turn), 0]])
    far = int(sign * _strength(150 / 331 * side, magnitude))
    return np.array([[1, 0, -far], [0, 1, 0]] if name == "TranslateX" else [[1, 0, 0], [0, 1, -far]])


def _strength(largest: float, magnitude: int) -> float:
    # In float32, as torchvision's tables are: the last bit decides which way a value is rounded.
    return float(torch.linspace(0, largest, BINS)[magnitude])


def _mix(images: Tensor, *, other: Callable[[Tensor], Tensor], factors: npt.NDArray[np.float64]) -> Tensor:
    """factor * image + (1 - factor) * other(image), a factor an image, cut to 0..255 and rounded down."""
    own, its = (
        torch.from_numpy(some).to(images.device, torch.float32).view(-1, 1, 1, 1) for some in (factors, 1 - factors)
    )
    return (own * images + its * other(images)).clamp(0, 255).to(torch.uint8)


def _grey(images: Tensor) -> Tensor:
    red, green, blue = images.unbind(dim=1)
    return (0.2989 * red + 0.587 * green + 0.114 * blue).to(torch.uint8)[:, None]


def _blurred(images: Tensor) -> Tensor:
    kernel = torch.ones(3, 1, 3, 3, device=images.device)
    kernel[:, :, 1, 1] = 5.0
    blurred = images.clone()  # the border stays
    with torch.autocast(images.device.type, enabled=False):
        inner = F.conv2d(images.float(), kernel / 13.0, groups=3)
    blurred[..., 1:-1, 1:-1] = inner.round().to(torch.uint8)
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
    # Counts are whole numbers, the same in whatever order they are added up; torch refuses to add them on a GPU that is
    # to be deterministic.
    strict = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        changed: Tensor = equalize_image(images)
    finally:
        torch.use_deterministic_algorithms(strict)
    return changed


# A picture and what it is mixed with, by name.
_MIXED_WITH: dict[str, Callable[[Tensor], Tensor]] = {
    "Brightness": torch.zeros_like,
    "Color": _grey,
    "Contrast": lambda images: _grey(images).float().mean(dim=(1, 2, 3), keepdim=True),
    "Sharpness": _blurred,
}
_REST: dict[str, Callable[..., Tensor]] = {
    "Posterize": _posterize,
    "Solarize": _solarize,
    "AutoContrast": _autocontrast,
    "Equalize": _equalize,
}
