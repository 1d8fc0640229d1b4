"""L-mse: squared distance of the student's feature to the teacher's (arXiv:2307.03135), normalised or not.

mean_B sum_D (s - v)^2. The sum over D makes the term independent of the width at equal angle. B images, D embedding
width.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.losses.precision import no_autocast, to_full_precision


def feature_mse(
    student: Tensor, teacher: Tensor, *, form: Literal["normalised", "unnormalised"] = "normalised"
) -> Tensor:
    """Squared distance of the features `student` and `teacher` (B, D); 0 for equal features.

    `normalised`: of the normalised features, 0 to 4. `unnormalised`: log(1 + d / 10), d the squared distance of the
    unnormalised features; the logarithm limits its range.
    """
    with no_autocast(student):
        s, v = to_full_precision(student), to_full_precision(teacher)
        if form == "unnormalised":
            return torch.log1p((s - v).square().sum(dim=-1).mean() / 10)  # (B, D) -> (B,) -> scalar
        return (F.normalize(s, dim=-1) - F.normalize(v, dim=-1)).square().sum(dim=-1).mean()
