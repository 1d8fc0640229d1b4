"""Logits of the decisions "this image shows this label", one for each label: (s t^T - offset) / temperature.

s and t are normalised; `offset` is the cosine at which the probability is one half. The cosines of a CLIP teacher lie
in a narrow range above 0 (some 0.1 to 0.4), so that without an offset every label would be found in every image; the
published code for several labels has the same form (a bias beside the cosine, arXiv:2307.03135). B images, K labels, D
embedding width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.losses.precision import to_full_precision

_STEPS = 60
"""Bisections of the range of cosines, [-1, 1]: more than float64 can tell apart."""


def label_logits(student: Tensor, texts: Tensor, *, temperature: float, offset: float) -> Tensor:
    """Logits (B, K) of `student` (B, D) and `texts` (K, D)."""
    s, t = F.normalize(to_full_precision(student), dim=-1), F.normalize(to_full_precision(texts), dim=-1)
    return (s @ t.T - offset) / temperature


@torch.no_grad()
def balanced_offset(cosines: Tensor, label_matrix: Tensor, *, temperature: float) -> float:
    """The offset at which the expected number of labels equals the real one, over all `cosines` (B, K).

    This is the maximum-likelihood offset of a logistic regression whose slope is 1 / temperature. `label_matrix` (B, K)
    bool: the labels of each image. Within [-1, 1].
    """
    cosines, wanted = cosines.double(), label_matrix.sum().double()
    low, high = -1.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if torch.sigmoid((cosines - middle) / temperature).sum() > wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2
