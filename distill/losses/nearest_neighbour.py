"""Nearest-neighbour guidance: an image finds its neighbour in the teacher's space (after CLIP-PING, arXiv:2412.03871).

n_i is the remembered teacher feature closest to v_i that is not v_i's own; CE(s n^T / temperature, 0..B-1), s and n
normalised. Images with the same neighbour are no wrong answers to each other. Of CLIP-PING's supports, which are
unimodal encoders', only the image one has a counterpart here: the teacher. B images, Q remembered features, D width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.losses.precision import no_autocast, to_full_precision

ITSELF = 1 - 1e-5
"""A cosine from which on two features are taken for the same image's."""


def nearest_neighbour(student: Tensor, teacher: Tensor, queue: Tensor, *, temperature: float) -> Tensor:
    """Contrast of `student` (B, D) with the neighbours of `teacher` (B, D) in `queue` (Q, D); at least 0.

    Images without a neighbour (a queue of nothing but themselves) are left out; without any the term is 0.
    """
    with no_autocast(student):
        s, v, q = (F.normalize(to_full_precision(x), dim=-1) for x in (student, teacher, queue))
        closeness = v @ q.T  # (B, Q)
        nearest, at = closeness.masked_fill(closeness >= ITSELF, float("-inf")).max(dim=-1)
        has = nearest > float("-inf")
        if not has.any():
            return (to_full_precision(student) * 0).sum()
        s, at = s[has], at[has]
        own = torch.arange(len(at), device=at.device)
        shared = (at[:, None] == at[None, :]) & (own[:, None] != own[None, :])
        return F.cross_entropy((s @ q[at].T / temperature).masked_fill(shared, float("-inf")), own)
