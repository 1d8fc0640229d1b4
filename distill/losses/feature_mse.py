"""L-mse: the student's feature is to be the teacher's (arXiv:2307.03135), normalised or as they are.

Summed over D, mean over B. The sum makes the term independent of the width at equal angle. B images, D embedding width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.losses.precision import full, full_precision


def feature_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of the normalised features (B, D): 0 at equal directions, 4 at opposite ones."""
    with full_precision(student):
        s, v = F.normalize(full(student), dim=-1), F.normalize(full(teacher), dim=-1)
        return (s - v).square().sum(dim=-1).mean()  # (B, D) -> (B,) -> scalar


def feature_mse_unnormalised(student: Tensor, teacher: Tensor) -> Tensor:
    """log(1 + d / 10), d the squared distance of the features (B, D) as they are; the logarithm tames its range."""
    with full_precision(student):
        distance = (full(student) - full(teacher)).square().sum(dim=-1).mean()
        return torch.log1p(distance / 10)
