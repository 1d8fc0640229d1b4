"""ICL: interactive contrastive learning of CLIP-KD (arXiv:2307.12732), across student and teacher towers.

1/2 [CE(s t_y^T / temperature, 0..B-1) + CE(t_y v^T / temperature, 0..B-1)], all normalised, t_y the text of an image's
label. The student's texts are encoded by the teacher's text tower, so that the second half trains only learned vectors.
In CLIP-KD every image has its own text. Here images of one label share it, and are no negatives of each other.
B images, K labels, D embedding width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.losses.caption_contrastive import same_label_others
from distill.losses.precision import no_autocast, to_full_precision


def interactive_contrastive(
    student: Tensor, teacher: Tensor, texts: Tensor, labels: Tensor, *, temperature: float
) -> Tensor:
    """Contrastive loss of `student` and `teacher` (B, D) with the `texts` (K, D) of `labels` (B,) int64; at least 0."""
    with no_autocast(student):
        s, v, t = (F.normalize(to_full_precision(x), dim=-1) for x in (student, teacher, texts))
        positives, others = torch.arange(len(labels), device=labels.device), same_label_others(labels)
        to_text = (s @ t[labels].T / temperature).masked_fill(others, float("-inf"))  # (B, B)
        to_image = (t[labels] @ v.T / temperature).masked_fill(others, float("-inf"))  # (B, B)
        return (F.cross_entropy(to_text, positives) + F.cross_entropy(to_image, positives)) / 2
