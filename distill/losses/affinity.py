"""Affinity mimicking: match the student's image-text affinities to the teacher's (TinyCLIP, arXiv:2309.12314).

1/2 [CE(softmax_K(v t^T / temperature), s t^T / temperature) + CE(softmax_B(t v^T / temperature), t s^T / temperature)],
CE with soft targets, s, v and t normalised: each image over the texts, and each text over the images. TinyCLIP's texts
are the captions of the batch; here they are the texts of the K labels. TinyCLIP scales by the logit scales of teacher
and student; here 1 / temperature is that of the teacher, or a number (`affinity_scale`). B images, K labels, D
embedding width.
"""

import torch.nn.functional as F
from torch import Tensor

from distill.losses.precision import no_autocast, to_full_precision


def affinity(student: Tensor, teacher: Tensor, texts: Tensor, *, temperature: float) -> Tensor:
    """Soft cross-entropy of the affinities of `student` and `teacher` (B, D) to `texts` (K, D).

    Its minimum, for equal affinities, is the mean entropy of the teacher's affinities.
    """
    with no_autocast(student):
        s, v, t = (F.normalize(to_full_precision(x), dim=-1) for x in (student, teacher, texts))
        student_logits, teacher_logits = s @ t.T / temperature, (v @ t.T / temperature).detach()  # (B, K)
        by_image = F.cross_entropy(student_logits, teacher_logits.softmax(dim=-1))
        by_text = F.cross_entropy(student_logits.T, teacher_logits.T.softmax(dim=-1))
        return (by_image + by_text) / 2
