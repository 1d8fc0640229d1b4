"""L-cls: classification of images among the texts of the labels (arXiv:2307.03135).

CE(s t^T / temperature, y), s and t normalised. B images, K labels, D embedding width.
"""

import torch.nn.functional as F
from torch import Tensor

from distill.losses.precision import no_autocast, to_full_precision


def text_classification(student: Tensor, texts: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    """Cross-entropy of `student` (B, D) among `texts` (K, D), mean over images; at least 0.

    `labels` (B,) int64 within [0, K).
    """
    with no_autocast(student):
        s, t = F.normalize(to_full_precision(student), dim=-1), F.normalize(to_full_precision(texts), dim=-1)
        return F.cross_entropy(s @ t.T / temperature, labels)  # (B, K) -> scalar
