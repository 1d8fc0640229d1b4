"""Queue KL: match similarities to queued teacher features to the teacher's (LightlyTrain's distillation v1).

KL(softmax(v q^T / temperature) || softmax(s q^T / temperature)), mean over images; s, v and q normalised. The queue
replaces labels, so that the term needs none. Source: description and loss of LightlyTrain 0.6, `_methods/distillation`,
after Beyer et al. 2022 (arXiv:2106.05237). B images, Q queued features, D embedding width.
"""

import torch.nn.functional as F
from torch import Tensor

from distill.losses.precision import no_autocast, to_full_precision


def queue_alignment(student: Tensor, teacher: Tensor, queue: Tensor, *, temperature: float) -> Tensor:
    """KL divergence of `student` from `teacher` (B, D) over `queue` (Q, D), which includes the batch; 0 if equal."""
    with no_autocast(student):
        s, v, q = (F.normalize(to_full_precision(x), dim=-1) for x in (student, teacher, queue))
        targets = (v @ q.T / temperature).softmax(dim=-1)  # (B, Q)
        return F.kl_div((s @ q.T / temperature).log_softmax(dim=-1), targets, reduction="batchmean")
