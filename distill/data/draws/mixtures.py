"""Mixtures of two images of a batch, which student and teacher see alike: mixup and CutMix.

mixup (arXiv:1710.09412): w a + (1 - w) b, w uniform in (0, 1), as in patient and consistent teaching
(arXiv:2106.05237). CutMix (arXiv:1905.04899): a rectangle of b, of area 1 - w, in a. The teacher encodes the mixture,
whose target is thus a feature and no mixture of labels; a mixture has no label, and is used by the loss terms that need
none.

Which images are mixed, and with what, is a function of the seed and the step, over the whole batch: it does not depend
on the number of ranks or micro-batches. Every stretch of labelled images keeps its share of unmixed ones, at least
half. B images of a batch, M mixtures, S and T height and width of the stored images, P and Q of the crops.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distill.data.counter_rng import Ints, uniform
from distill.data.crops import Views
from distill.data.splits import NO_LABEL
from distill.data.views.retouching import Floats, inside

MixKind = Literal["mixup", "cutmix"]
# RNG keys that separate these samples from others of a step.
_MIXTURES, _PHASE, _PARTNER, _SHARE, _PLACE = 0xC0, 0, 1, 2, (3, 4)


@dataclass(frozen=True, eq=False)
class MixDraws:
    """`at` (M,): positions of the mixed images in the batch, ascending; `partners` (M,): those of the second images.

    `shares` (M,): w of each. `boxes` (M, 4): for CutMix, as left, top, width, height, shares of the crop.
    """

    at: Ints
    partners: Ints
    shares: Floats
    boxes: Floats | None

    def take(self, rows: npt.NDArray[np.bool_]) -> "MixDraws":
        """Those of the mask `rows` (M,)."""
        boxes = None if self.boxes is None else self.boxes[rows]
        return MixDraws(self.at[rows], self.partners[rows], self.shares[rows], boxes)


def draw_mixtures(kind: MixKind, share: float, labels: Ints, *, seed: int, step: int) -> MixDraws:
    """The mixtures of the batch of `step`. `labels` (B,): -1 for unlabelled. `share`: of images to mix, at most 0.5."""
    at = np.sort(
        np.concatenate(
            [
                _spread(np.flatnonzero(chosen), share, float(uniform(seed, step, _MIXTURES, _PHASE, group)))
                for group, chosen in enumerate((labels != NO_LABEL, labels == NO_LABEL))
            ]
        )
    )
    offsets = 1 + np.floor(uniform(seed, step, _MIXTURES, _PARTNER, at) * (len(labels) - 1)).astype(np.int64)
    shares = uniform(seed, step, _MIXTURES, _SHARE, at)
    boxes: Floats | None = None
    if kind == "cutmix":
        side = np.sqrt(1 - shares)
        left, top = (uniform(seed, step, _MIXTURES, key, at) * (1 - side) for key in _PLACE)
        boxes = np.stack([left, top, side, side], axis=1)
    return MixDraws(at, (at + offsets) % len(labels), shares, boxes)


def _spread(positions: Ints, share: float, phase: float) -> Ints:
    """The share of `positions`, evenly spread: of two neighbours at most one, if the share is at most 0.5."""
    steps = np.floor(np.arange(len(positions) + 1) * share + phase)
    chosen: Ints = positions[np.diff(steps) > 0]
    return chosen


@dataclass(frozen=True, eq=False, kw_only=True)
class Mixture:
    """The mixtures of a part of a batch: positions `at` (M,) in the part, and their second images.

    `pixels` (M, S, T, 3) uint8 and `views` as in a batch; `teacher_pixels`: the same images as the teacher gets them.
    """

    at: Ints
    pixels: Tensor
    teacher_pixels: Tensor
    views: Views
    shares: Floats
    boxes: Floats | None

    def part(self, start: int, stop: int) -> "Mixture":
        """The mixtures of the rows from `start` to below `stop`, as a separate part."""
        rows = np.flatnonzero((self.at >= start) & (self.at < stop))
        chosen = torch.from_numpy(rows).to(self.pixels.device)
        return replace(
            self,
            at=self.at[rows] - start,
            pixels=self.pixels[chosen],
            teacher_pixels=self.teacher_pixels[chosen.to(self.teacher_pixels.device)],
            views=self.views.take(rows),
            shares=self.shares[rows],
            boxes=None if self.boxes is None else self.boxes[rows],
        )

    def mixed(self, crops: Tensor, partners: Tensor) -> Tensor:
        """`crops` (B, 3, P, Q) with the mixtures; `partners` (M, 3, P, Q): the crops of the second images."""
        at = torch.from_numpy(self.at).to(crops.device)
        own = crops[at]
        if self.boxes is None:
            shares = torch.from_numpy(self.shares).to(crops.device, crops.dtype).view(-1, 1, 1, 1)
            mixed = torch.lerp(partners, own, shares)
        else:
            mixed = torch.where(inside(self.boxes, crops)[:, None], partners, own)
        return crops.index_copy(0, at, mixed)
