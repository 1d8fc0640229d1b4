"""L-cls: classification of images among the texts of the labels (arXiv:2307.03135).

CE(s t^T / temperature, y), s and t normalised; with class weights w, the mean over images is weighted by w[y].
B images, K labels, D embedding width.
"""

import torch.nn.functional as F
from torch import Tensor

from distill.losses.precision import no_autocast, to_full_precision


def text_classification(
    student: Tensor, texts: Tensor, labels: Tensor, class_weights: Tensor | None = None, *, temperature: float
) -> Tensor:
    """Cross-entropy of `student` (B, D) among `texts` (K, D), mean over images; at least 0.

    `labels` (B,) int64 within [0, K). `class_weights` (K,): weights of the mean by label.
    """
    with no_autocast(student):
        s, t = F.normalize(to_full_precision(student), dim=-1), F.normalize(to_full_precision(texts), dim=-1)
        return F.cross_entropy(s @ t.T / temperature, labels, weight=class_weights)  # (B, K) -> scalar
