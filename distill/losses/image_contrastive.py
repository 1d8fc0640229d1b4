"""L-im-cst: each image's student and teacher features find each other among the batch (arXiv:2307.03135).

S = s v^T / temperature with s and v normalised; CE(S, 0..B-1), in both directions by default. The value grows with the
batch, because every other image of it is a wrong answer. B images, D embedding width.
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
    """Contrastive loss of `student` (B, D) and `teacher` (B, D), row by row the same images; at least 0.

    `both` is the mean of the two directions; `image_to_teacher` looks for the teacher's feature of each image only.
    """
    with no_autocast(student):
        s, v = F.normalize(to_full_precision(student), dim=-1), F.normalize(to_full_precision(teacher), dim=-1)
        similarity = s @ v.T / temperature  # (B, B)
        own = torch.arange(len(similarity), device=similarity.device)
        forth = F.cross_entropy(similarity, own)
        if mode == "image_to_teacher":
            return forth
        return (forth + F.cross_entropy(similarity.T, own)) / 2
