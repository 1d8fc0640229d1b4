"""Affinity mimicking: the student's affinities of images and texts are the teacher's, both ways (TinyCLIP, 2023).

1/2 [CE(softmax_K(v t^T / temperature), s t^T / temperature) + CE(softmax_B(t v^T / temperature), t s^T /
temperature)], CE with soft targets, all normalised: each image over the texts, and each text over the images.
TinyCLIP's texts are the batch's captions; here they are the K labels'. B images, K labels, D embedding width.
"""

import torch.nn.functional as F
from torch import Tensor

from distill.losses.precision import no_autocast, to_full_precision


def affinity(student: Tensor, teacher: Tensor, texts: Tensor, *, temperature: float) -> Tensor:
    """Soft cross-entropy of `student` (B, D) to `teacher` (B, D) with `texts` (K, D).

    At least the mean entropy of the teacher's affinities, which it is where the two agree.
    """
    with no_autocast(student):
        s, v, t = (F.normalize(to_full_precision(x), dim=-1) for x in (student, teacher, texts))
        ours, theirs = s @ t.T / temperature, (v @ t.T / temperature).detach()  # (B, K)
        by_image = F.cross_entropy(ours, theirs.softmax(dim=-1))
        by_text = F.cross_entropy(ours.T, theirs.T.softmax(dim=-1))
        return (by_image + by_text) / 2
