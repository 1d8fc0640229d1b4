"""How far a student sees images as its teacher does, under plain names, each with its formula.

None of them needs a label. s and v are the L2-normalised features of student and teacher for the same N images, t the
K normalised text features. N images, K labels, D embedding width.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

NUM_NEIGHBOURS = 10
NUM_TEXTS = 256
NEIGHBOUR_IMAGES = 5000
ELEMENTS_AT_ONCE = 32_000_000


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """All figures over the same images, with what they were taken at.

    `feature_cosine` in -1..1, `neighbour_overlap`, `linear_cka` and `top1_agreement` in 0..1 (1: the same),
    `top_texts_kl` in nats (0: the same). None where the figure does not exist: neighbours of one image, CKA of features
    that are all the same. `num_neighbour_images`: images that neighbours were looked for among.
    """

    feature_cosine: float
    neighbour_overlap: float | None
    linear_cka: float | None
    top1_agreement: float
    top_texts_kl: float
    num_images: int
    num_neighbours: int
    num_neighbour_images: int
    num_texts: int
    temperature: float


def agreement(student: Tensor, teacher: Tensor, texts: Tensor, *, temperature: float, seed: int = 0) -> Agreement:
    """Every figure of `student` (N, D) and `teacher` (N, D), row by row the same images, and `texts` (K, D).

    Neighbours, which cost N x N, are looked for among at most 5,000 of the images, drawn by `seed`. Raises ValueError
    for no image, or shapes that do not fit.
    """
    if student.shape != teacher.shape or len(student) == 0:
        raise ValueError(f"features of shapes {tuple(student.shape)} and {tuple(teacher.shape)} cannot be compared")
    if texts.shape[1:] != student.shape[1:]:
        raise ValueError(f"texts of width {texts.shape[-1]} beside image features of {student.shape[1]}")
    some = torch.arange(len(student))
    if len(student) > NEIGHBOUR_IMAGES:
        drawn = np.random.default_rng(seed).choice(len(student), NEIGHBOUR_IMAGES, replace=False)
        some = torch.from_numpy(np.sort(drawn))
    return Agreement(
        feature_cosine=feature_cosine(student, teacher),
        neighbour_overlap=neighbour_overlap(student[some], teacher[some]),
        linear_cka=linear_cka(student, teacher),
        top1_agreement=top1_agreement(student, teacher, texts),
        top_texts_kl=top_texts_kl(student, teacher, texts, temperature=temperature),
        num_images=len(student),
        num_neighbours=min(NUM_NEIGHBOURS, len(some) - 1),
        num_neighbour_images=len(some),
        num_texts=min(NUM_TEXTS, len(texts)),
        temperature=temperature,
    )


def feature_cosine(student: Tensor, teacher: Tensor) -> float:
    """mean_N s . v"""
    return float((_normalised(student) * _normalised(teacher)).sum(dim=1, dtype=torch.float64).mean())


def neighbour_overlap(student: Tensor, teacher: Tensor, *, num_neighbours: int = NUM_NEIGHBOURS) -> float | None:
    """mean_N |A_i and B_i| / k, where A_i holds the k nearest other images of image i by s, B_i those by v, by cosine.

    Mutual k-nearest-neighbour overlap (Huh et al. 2024, arXiv:2405.07987); k is at most N - 1. None for one image.
    """
    count = min(num_neighbours, len(student) - 1)
    if count < 1:
        return None
    s, v = _normalised(student), _normalised(teacher)
    shared, at_once = 0, max(1, ELEMENTS_AT_ONCE // len(s))
    for start in range(0, len(s), at_once):
        near = [_nearest(features, start, min(start + at_once, len(s)), count) for features in (s, v)]
        shared += int((near[0][:, :, None] == near[1][:, None, :]).sum())
    return shared / (count * len(s))


def _nearest(features: Tensor, start: int, stop: int, count: int) -> Tensor:
    """Rows of the images nearest to each of images start..stop, itself left out, (stop - start, count)."""
    similarity = features[start:stop] @ features.T
    own = torch.arange(start, stop)
    similarity[own - start, own] = -torch.inf
    return similarity.topk(count, dim=1).indices


def linear_cka(student: Tensor, teacher: Tensor) -> float | None:
    """||S'V||_F^2 / (||S'S||_F ||V'V||_F), S and V being s and v less their means over images.

    Linear centred kernel alignment (Kornblith et al. 2019, arXiv:1905.00414), in its feature form, so that it costs
    N D^2. None where all features of one side are the same.
    """
    s, v = (_normalised(each).double() for each in (student, teacher))
    s, v = s - s.mean(dim=0), v - v.mean(dim=0)
    own = torch.linalg.matrix_norm(s.T @ s) * torch.linalg.matrix_norm(v.T @ v)
    if float(own) <= 1e-12:
        return None
    return float((s.T @ v).square().sum() / own)


def top1_agreement(student: Tensor, teacher: Tensor, texts: Tensor) -> float:
    """mean_N [argmax_K s . t = argmax_K v . t]"""
    t, same = _normalised(texts), 0
    for s, v in _normalised_batches(student, teacher, len(t)):
        same += int(((s @ t.T).argmax(dim=1) == (v @ t.T).argmax(dim=1)).sum())
    return same / len(student)


def top_texts_kl(
    student: Tensor, teacher: Tensor, texts: Tensor, *, temperature: float, num_texts: int = NUM_TEXTS
) -> float:
    """mean_N sum_j p_j (log p_j - log q_j), j over the k labels the teacher holds likeliest of the image.

    p and q are the softmax over those k of v . t / temperature and of s . t / temperature; k is at most K. The formula
    of arXiv:2307.03135's L-vlalign, taken as a measurement.
    """
    t, total = _normalised(texts), 0.0
    for s, v in _normalised_batches(student, teacher, len(t)):
        best = (v @ t.T / temperature).topk(min(num_texts, len(t)), dim=1)  # (n, k)
        log_p = best.values.double().log_softmax(dim=1)
        log_q = (s @ t.T / temperature).gather(1, best.indices).double().log_softmax(dim=1)
        total += float((log_p.exp() * (log_p - log_q)).sum())
    return total / len(student)


def _normalised(features: Tensor) -> Tensor:
    return F.normalize(features.float(), dim=-1)


def _normalised_batches(student: Tensor, teacher: Tensor, num_texts: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Normalised features of both, in pieces so that N x K need not fit in memory."""
    size = max(1, ELEMENTS_AT_ONCE // num_texts)
    starts = range(0, len(student), size)
    return (
        (_normalised(student[start : start + size]), _normalised(teacher[start : start + size])) for start in starts
    )
