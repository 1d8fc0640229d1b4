"""L-cap: contrastive loss of images and captions of a batch (arXiv:2307.03135).

CE(s c^T / temperature, 0..B-1), s and c normalised. The published code has no temperature, which corresponds to 1. The
caption of another image with the same label may be equally true, and is therefore no negative. B images, D embedding
width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.losses.precision import no_autocast, to_full_precision


def caption_contrastive(
    student: Tensor, captions: Tensor, captioned: Tensor, labels: Tensor, *, temperature: float
) -> Tensor:
    """Contrastive loss of `student` (B, D) and teacher features of `captions` (B, D), mean over images; at least 0.

    Only images that are `captioned` (B,) bool are used, and only their rows of `captions`; without any the term is 0.
    `labels` (B,) int64.
    """
    with no_autocast(student):
        s, c = to_full_precision(student)[captioned], to_full_precision(captions)[captioned]
        own_labels = labels[captioned]
        if len(own_labels) == 0:
            return (to_full_precision(student) * 0).sum()
        similarity = F.normalize(s, dim=-1) @ F.normalize(c, dim=-1).T / temperature  # (B', B')
        similarity = similarity.masked_fill(same_label_others(own_labels), float("-inf"))
        return F.cross_entropy(similarity, torch.arange(len(own_labels), device=own_labels.device))


def same_label_others(labels: Tensor) -> Tensor:
    """(B, B) bool: pairs of different images with the same label."""
    same = labels[:, None] == labels[None, :]
    return same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
