"""FD: feature distillation of CLIP-KD (arXiv:2307.12732), the mean squared distance over B and D; weight 2000 there.

mean_BD (s - v)^2, s and v normalised. It is L-mse divided by D: its weight depends on the width, and published weights
can be used unchanged. B images, D embedding width.
"""

import torch.nn.functional as F
from torch import Tensor

from distill.losses.precision import no_autocast, to_full_precision


def feature_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of the normalised features `student` and `teacher` (B, D): 0 to 4 / D."""
    with no_autocast(student):
        s, v = F.normalize(to_full_precision(student), dim=-1), F.normalize(to_full_precision(teacher), dim=-1)
        return F.mse_loss(s, v)
