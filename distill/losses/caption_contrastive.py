"""L-cap: each image finds the caption that is its own among those of the batch (arXiv:2307.03135).

CE(s c^T / temperature, 0..B-1), s and c normalised; the published code has no temperature, which is 1. A caption of
another image of the same label may be as true as an image's own, and is no wrong answer. B images, D embedding width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.losses.precision import no_autocast, to_full_precision


def caption_contrastive(
    student: Tensor, captions: Tensor, captioned: Tensor, labels: Tensor, *, temperature: float
) -> Tensor:
    """Contrast of `student` (B, D) with the teacher's features of `captions` (B, D), mean over images; at least 0.

    Images that are not `captioned` (B,) bool are left out, with their rows of `captions`, whatever these hold; where no
    image has a caption the term is 0. `labels` (B,) int64.
    """
    with no_autocast(student):
        s, c, of = to_full_precision(student)[captioned], to_full_precision(captions)[captioned], labels[captioned]
        if len(of) == 0:
            return (to_full_precision(student) * 0).sum()
        similarity = F.normalize(s, dim=-1) @ F.normalize(c, dim=-1).T / temperature
        return F.cross_entropy(
            similarity.masked_fill(same_label_others(of), float("-inf")), torch.arange(len(of), device=of.device)
        )


def same_label_others(labels: Tensor) -> Tensor:
    """(B, B) bool: which other images of a batch have the label of each."""
    same = labels[:, None] == labels[None, :]
    return same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
