"""Separation: the margin between each label's text features and those of the nearest other label.

Attributes must not reduce it. A margin is 1 - cosine, so 0 for two labels that the teacher cannot distinguish.
K labels, D embedding width.
"""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from distill.texts.nearest_labels import STRIP, nearest_labels
from limbeck.shared.text import counted


class Separation(NamedTuple):
    """`margin` (K,) float32 to the `nearest` other label (K,) int64, on the CPU."""

    margin: Tensor
    nearest: Tensor


def separation(features: Tensor, *, strip: int = STRIP) -> Separation:
    """The nearest other label of each label by features (K, D), and the margin to it.

    Holds at most `strip` entries of the K x K matrix. Raises ValueError for fewer than two labels.
    """
    if len(features) < 2:
        raise ValueError(f"{counted(len(features), 'label')}: give at least two")
    unit = F.normalize(features.float(), dim=-1)
    near = nearest_labels(unit, 1, strip=strip)[:, 0]  # (K,)
    margin = 1 - (unit * unit[near.to(unit.device)]).sum(dim=-1)  # (K, D), (K, D) -> (K,)
    return Separation(margin.cpu(), near)
