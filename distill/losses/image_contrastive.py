"""L-im-cst: contrastive loss of student and teacher features of the images of a batch (arXiv:2307.03135).

CE(s v^T / temperature, 0..B-1), s and v normalised, by default in both directions. The value grows with the batch,
because all other images of the batch are negatives. B images, D embedding width.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.losses.precision import no_autocast, to_full_precision


def image_contrastive(
    student: Tensor,
    teacher: Tensor,
    *,
    temperature: float,
    mode: Literal["both", "image_to_teacher"] = "both",
) -> Tensor:
    """Contrastive loss of `student` and `teacher` (B, D), features of the same images; at least 0.

    `both`: mean of the two directions. `image_to_teacher`: only student features classified among teacher features.
    """
    with no_autocast(student):
        s, v = F.normalize(to_full_precision(student), dim=-1), F.normalize(to_full_precision(teacher), dim=-1)
        similarity = s @ v.T / temperature  # (B, B)
        positives = torch.arange(len(similarity), device=similarity.device)
        to_teacher = F.cross_entropy(similarity, positives)
        if mode == "image_to_teacher":
            return to_teacher
        return (to_teacher + F.cross_entropy(similarity.T, positives)) / 2
