"""Asymmetric loss: binary cross-entropy that counts easy negatives less (Ridnik et al., arXiv:2009.14119).

-mean_B sum_K [Y (1 - p)^g+ log p + (1 - Y) q^g- log(1 - q)], p = sigmoid((s t^T - offset) / temperature) and
q = max(p - m, 0), s and t normalised. An image shows few of many labels: the focusing g- > g+ keeps the negatives from
outweighing the positives, and the probability shift m drops those below m. Published: g+ = 0, g- = 4, m = 0.05, with
which the code of arXiv:2307.03135 differs (g+ = 1, g- = 2). B images, K labels, D embedding width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.losses.label_logits import label_logits
from distill.losses.precision import no_autocast


def asymmetric(
    student: Tensor,
    texts: Tensor,
    label_matrix: Tensor,
    *,
    temperature: float,
    offset: float,
    gamma_positive: float,
    gamma_negative: float,
    shift: float,
) -> Tensor:
    """Asymmetric loss of `student` (B, D) with each of `texts` (K, D), summed over labels, mean over images; 0 or more.

    `label_matrix` (B, K): whether an image has a label. `gamma_positive`, `gamma_negative`: 0, or at least 1, below
    which the gradient at a probability of 0 is infinite. `shift`: m, in [0, 1).
    """
    with no_autocast(student):
        logits = label_logits(student, texts, temperature=temperature, offset=offset)  # (B, K)
        positive = torch.sigmoid(-logits) ** gamma_positive * F.logsigmoid(logits)
        shifted = (torch.sigmoid(logits) - shift).clamp(min=0)
        log_rest = torch.log1p(-shifted) if shift else F.logsigmoid(-logits)
        negative = shifted**gamma_negative * log_rest
        return -torch.where(label_matrix.bool(), positive, negative).sum(dim=1).mean()
