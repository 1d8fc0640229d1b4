"""L-vlalign: the student ranks the labels' texts for an image as the teacher does (arXiv:2307.03135).

KL(softmax(v t^T / temperature) || softmax(s t^T / temperature)) over the k labels that the teacher puts first, mean
over images; s, v and t normalised. The teacher's side carries no gradient, so that a learned context is not pulled
towards what the teacher finds easy (the published code lets it through). B images, K labels, D embedding width.
"""

import torch.nn.functional as F
from torch import Tensor

from distill.losses.precision import no_autocast, to_full_precision


def text_alignment(
    student: Tensor,
    teacher: Tensor,
    texts: Tensor,
    labels: Tensor,
    *,
    temperature: float,
    top_k: int,
    only_right: bool = False,
) -> Tensor:
    """Divergence of `student` (B, D) from `teacher` (B, D) over `texts` (K, D); 0 where they agree.

    `top_k` above K means all of K. `only_right` takes the mean over the images whose own label, of `labels` (B,), the
    teacher puts first; where there is none, the term is 0.
    """
    with no_autocast(student):
        s, v, t = (F.normalize(to_full_precision(x), dim=-1) for x in (student, teacher, texts))
        ranked, at = (v @ t.T / temperature).detach().topk(min(top_k, len(t)), dim=-1)  # (B, k)
        own = (s @ t.T / temperature).gather(1, at)
        each = F.kl_div(own.log_softmax(dim=-1), ranked.softmax(dim=-1), reduction="none").sum(dim=-1)  # (B,)
        if not only_right:
            return each.mean()
        right = (at[:, 0] == labels).to(each.dtype)
        return (each * right).sum() / right.sum().clamp(min=1)
