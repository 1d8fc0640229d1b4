"""Contrastive loss with nearest neighbours in the teacher's space (after CLIP-PING, arXiv:2412.03871).

CE(s n^T / temperature, 0..B-1), s and n normalised; n_i is the queued teacher feature closest to v_i, except those of
image i itself, in any view, and of copies of it. Images with the same neighbour are no negatives of each other.
CLIP-PING uses unimodal image and text encoders; here the teacher's image features replace the former. B images, Q
queued features, D embedding width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.losses.precision import no_autocast, to_full_precision

MIXED_IMAGE = -2
"""The number of a mixture of two images: it has no neighbour, and is none."""
COPY = 1 - 1e-5
"""From this cosine on, two features are taken to be of copies of one image."""


def nearest_neighbour(
    student: Tensor, teacher: Tensor, queue: Tensor, images: Tensor, queue_images: Tensor, *, temperature: float
) -> Tensor:
    """Contrastive loss of `student` (B, D) with the neighbours of `teacher` (B, D) in `queue` (Q, D); at least 0.

    `images` (B,), `queue_images` (Q,): the number of the image of each feature; -1 if it is not known, and
    `MIXED_IMAGE` of a mixture.

    Images without a neighbour (mixtures, and those of which the queue has only views) are left out; without any image
    the term is 0.
    """
    with no_autocast(student):
        s, v, q = (F.normalize(to_full_precision(x), dim=-1) for x in (student, teacher, queue))
        similarity = v @ q.T  # (B, Q)
        own = (images[:, None] == queue_images[None, :]) | (similarity >= COPY)
        own |= (images == MIXED_IMAGE)[:, None] | (queue_images == MIXED_IMAGE)[None, :]
        closest, neighbours = similarity.masked_fill(own, float("-inf")).max(dim=-1)  # (B,)
        has_neighbour = closest > float("-inf")
        if not has_neighbour.any():
            return (to_full_precision(student) * 0).sum()
        s, neighbours = s[has_neighbour], neighbours[has_neighbour]
        positives = torch.arange(len(neighbours), device=neighbours.device)
        shared = (neighbours[:, None] == neighbours[None, :]) & (positives[:, None] != positives[None, :])
        return F.cross_entropy((s @ q[neighbours].T / temperature).masked_fill(shared, float("-inf")), positives)
