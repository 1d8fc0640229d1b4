"""How far each label's text features are from the nearest other label's: what attributes must not make worse.

A margin is 1 - cosine, so 0 for two labels that the teacher cannot tell apart. K labels, D embedding width.
"""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from distill.texts.nearest_labels import STRIP, nearest_labels


class Separation(NamedTuple):
    """`margin` (K,) float32 to the `nearest` other label (K,) int64, on the CPU."""

    margin: Tensor
    nearest: Tensor


def separation(features: Tensor, *, strip: int = STRIP) -> Separation:
    """The nearest other label of each label by features (K, D), and the margin to it; K x K is never held whole.

    Raises ValueError for fewer than two labels.
    """
    if len(features) < 2:
        raise ValueError(f"{len(features)} labels: two are the least that can be told apart")
    unit = F.normalize(features.float(), dim=-1)
    near = nearest_labels(unit, 1, strip=strip)[:, 0]  # (K,)
    margin = 1 - (unit * unit[near.to(unit.device)]).sum(dim=-1)  # (K, D), (K, D) -> (K,)
    return Separation(margin.cpu(), near)
