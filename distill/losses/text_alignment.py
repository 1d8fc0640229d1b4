"""L-vlalign: match the student's ranking of the labels' texts for an image to the teacher's (arXiv:2307.03135).

KL(softmax(v t^T / temperature) || softmax(s t^T / temperature)) over the k labels that the teacher ranks first, mean
over images; s, v and t normalised. The teacher's side has no gradient, so that learned vectors do not move towards
texts that are easy for the teacher; with `teacher_gradient` it has, as in the published code. B images, K labels, D
embedding width.
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
    teacher_gradient: bool = False,
) -> Tensor:
    """KL divergence of `student` from `teacher` (B, D) over `texts` (K, D); 0 if they agree.

    `top_k`: k, cut to K. `only_right`: mean over the images whose label, in `labels` (B,) int64, the teacher ranks
    first; 0 without such images.
    """
    with no_autocast(student):
        divergence, top = ranked_divergence(
            student, teacher, texts, temperature=temperature, top_k=top_k, teacher_gradient=teacher_gradient
        )
        if not only_right:
            return divergence.mean()
        right = (top[:, 0] == labels).to(divergence.dtype)
        return (divergence * right).sum() / right.sum().clamp(min=1)


def ranked_divergence(
    student: Tensor,
    teacher: Tensor,
    texts: Tensor,
    *,
    temperature: float,
    top_k: int,
    teacher_gradient: bool = False,
) -> tuple[Tensor, Tensor]:
    """KL divergence (B,) of each image over the k of `texts` (K, D) that the teacher ranks first, and these (B, k)."""
    s, v, t = (F.normalize(to_full_precision(x), dim=-1) for x in (student, teacher, texts))
    teacher_logits, top = (v @ t.T / temperature).topk(min(top_k, len(t)), dim=-1)  # (B, k)
    student_logits = (s @ t.T / temperature).gather(1, top)  # (B, k)
    predicted = student_logits.log_softmax(dim=-1)
    if teacher_gradient:  # in logarithms, because a probability of 0 has a gradient that is not finite
        terms = F.kl_div(predicted, teacher_logits.log_softmax(dim=-1), reduction="none", log_target=True)
    else:
        terms = F.kl_div(predicted, teacher_logits.detach().softmax(dim=-1), reduction="none")
    return terms.sum(dim=-1), top
