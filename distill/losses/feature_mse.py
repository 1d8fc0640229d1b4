"""L-mse: the student's feature is to be the teacher's (arXiv:2307.03135), normalised or as they are.

Summed over D, mean over B. The sum makes the term independent of the width at equal angle. B images, D embedding width.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.losses.precision import no_autocast, to_full_precision


def feature_mse(
    student: Tensor, teacher: Tensor, *, form: Literal["normalised", "unnormalised"] = "normalised"
) -> Tensor:
    """Squared distance of the features (B, D); 0 where they are the same.

    `normalised`: of their directions, 0 to 4. `unnormalised`: log(1 + d / 10), d the distance of the features as they
    are; the logarithm tames its range.
    """
    with no_autocast(student):
        s, v = to_full_precision(student), to_full_precision(teacher)
        if form == "unnormalised":
            return torch.log1p((s - v).square().sum(dim=-1).mean() / 10)  # (B, D) -> (B,) -> scalar
        return (F.normalize(s, dim=-1) - F.normalize(v, dim=-1)).square().sum(dim=-1).mean()
