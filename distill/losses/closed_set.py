"""Cross-entropy of a closed-set classifier, a baseline without texts to report beside every student.

CE(z, y), z the model's outputs, one per label; with class weights w, the mean over images is weighted by w[y].
B images, K labels.
"""

import torch.nn.functional as F
from torch import Tensor

from distill.losses.precision import no_autocast, to_full_precision


def closed_set(student: Tensor, labels: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Cross-entropy of the logits `student` (B, K) with `labels` (B,) int64, mean over images; at least 0.

    `class_weights` (K,): weights of the mean by label.
    """
    with no_autocast(student):
        return F.cross_entropy(to_full_precision(student), labels, weight=class_weights)
