"""Binary cross-entropy of each label's text: for images with several labels.

-mean_B sum_K [Y log p + (1 - Y) log(1 - p)], p = sigmoid((s t^T - offset) / temperature), s and t normalised; Y is 1
for the labels of an image. B images, K labels, D embedding width.
"""

import torch.nn.functional as F
from torch import Tensor

from distill.losses.label_logits import label_logits
from distill.losses.precision import no_autocast


def binary_cross_entropy(
    student: Tensor, texts: Tensor, label_matrix: Tensor, *, temperature: float, offset: float
) -> Tensor:
    """Cross-entropy of `student` (B, D) with each of `texts` (K, D), summed over labels, mean over images; at least 0.

    `label_matrix` (B, K): whether an image has a label.
    """
    with no_autocast(student):
        logits = label_logits(student, texts, temperature=temperature, offset=offset)  # (B, K)
        wanted = label_matrix.to(logits.dtype)
        return F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum(dim=1).mean()
