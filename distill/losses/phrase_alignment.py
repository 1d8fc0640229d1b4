"""Phrase alignment: L-vlalign (arXiv:2307.03135) over a bank of attribute phrases in the place of the labels' texts.

KL(softmax(v p^T / temperature) || softmax(s p^T / temperature)) over the k phrases that the teacher ranks first for an
image, mean over images; s, v and p normalised. The student learns the teacher's opinion on visual words (`a forked
tail`) that labels without images are made of too. The term needs no label. B images, P phrases, D embedding width.
"""

from torch import Tensor

from distill.losses.precision import no_autocast
from distill.losses.text_alignment import ranked_divergence


def phrase_alignment(student: Tensor, teacher: Tensor, phrases: Tensor, *, temperature: float, top_k: int) -> Tensor:
    """KL divergence of `student` from `teacher` (B, D) over `phrases` (P, D); 0 if they agree. `top_k`: k, cut to P."""
    with no_autocast(student):
        divergence, _ = ranked_divergence(student, teacher, phrases, temperature=temperature, top_k=top_k)
        return divergence.mean()
