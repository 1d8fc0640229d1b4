"""FD: CLIP-KD's feature distillation (arXiv:2307.12732), the squared distance meant over B and D; weight 2000 there.

mean_BD (s - v)^2, s and v normalised: L-mse divided by the width, so that its weight hangs on the width and a published
one can be used as it is. B images, D embedding width.
"""

import torch.nn.functional as F
from torch import Tensor

from distill.losses.precision import no_autocast, to_full_precision


def feature_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean square of the differences of the normalised features (B, D): 0 to 4 / D."""
    with no_autocast(student):
        return F.mse_loss(
            F.normalize(to_full_precision(student), dim=-1), F.normalize(to_full_precision(teacher), dim=-1)
        )
