"""The baseline to report beside every student: a plain classifier of the labels trained on, told nothing of words.

CE(z, y), z the model's outputs as they are, one for each label. B images, K labels.
"""

import torch.nn.functional as F
from torch import Tensor

from distill.losses.precision import no_autocast, to_full_precision


def closed_set(student: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of `student` (B, K) with `labels` (B,) int64, mean over images; at least 0."""
    with no_autocast(student):
        return F.cross_entropy(to_full_precision(student), labels)
