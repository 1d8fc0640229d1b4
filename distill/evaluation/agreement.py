"""Agreement of a student with its teacher: metrics that compare their features and need no labels.

s and v are the L2-normalised features of student and teacher for the same N images, t the K normalised text features.
N images, K labels, D embedding width.
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
    """All metrics over the same images, and the settings they were computed with.

    `feature_cosine` in -1..1; `neighbour_overlap`, `linear_cka` and `top1_agreement` in 0..1 (1: equal); `top_texts_kl`
    in nats (0: equal). None for an undefined metric: neighbours of one image, CKA of features that are all equal.
    `num_neighbour_images`: number of images among which neighbours were searched.
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
    """All metrics of `student` (N, D) and `teacher` (N, D), features of the same images, and `texts` (K, D).

    Neighbours, which cost N x N, are searched among at most 5,000 images, sampled by `seed`. Raises ValueError for no
    image or inconsistent shapes.
    """
    if student.shape != teacher.shape or len(student) == 0:
        raise ValueError(f"features of shapes {tuple(student.shape)} and {tuple(teacher.shape)} cannot be compared")
    if texts.shape[1:] != student.shape[1:]:
        raise ValueError(
            f"texts of width {texts.shape[-1]} cannot be compared with image features of width {student.shape[1]}"
        )
    sample = torch.arange(len(student))
    if len(student) > NEIGHBOUR_IMAGES:
        rows = np.random.default_rng(seed).choice(len(student), NEIGHBOUR_IMAGES, replace=False)
        sample = torch.from_numpy(np.sort(rows))
    return Agreement(
        feature_cosine=feature_cosine(student, teacher),
        neighbour_overlap=neighbour_overlap(student[sample], teacher[sample]),
        linear_cka=linear_cka(student, teacher),
        top1_agreement=top1_agreement(student, teacher, texts),
        top_texts_kl=top_texts_kl(student, teacher, texts, temperature=temperature),
        num_images=len(student),
        num_neighbours=min(NUM_NEIGHBOURS, len(sample) - 1),
        num_neighbour_images=len(sample),
        num_texts=min(NUM_TEXTS, len(texts)),
        temperature=temperature,
    )


def feature_cosine(student: Tensor, teacher: Tensor) -> float:
    """mean_N (s . v), the mean cosine similarity of the features of an image."""
    return float((_normalised(student) * _normalised(teacher)).sum(dim=1, dtype=torch.float64).mean())


def neighbour_overlap(student: Tensor, teacher: Tensor, *, num_neighbours: int = NUM_NEIGHBOURS) -> float | None:
    """mean_N |A_i and B_i| / k, where A_i are the k nearest other images of image i by s, B_i by v, by cosine.

    Mutual k-nearest-neighbour overlap (Huh et al. 2024, arXiv:2405.07987); k is at most N - 1. None for one image.
    """
    k = min(num_neighbours, len(student) - 1)
    if k < 1:
        return None
    s, v = _normalised(student), _normalised(teacher)
    shared, at_once = 0, max(1, ELEMENTS_AT_ONCE // len(s))
    for start in range(0, len(s), at_once):
        nearest = [_nearest(features, start, min(start + at_once, len(s)), k) for features in (s, v)]
        shared += int((nearest[0][:, :, None] == nearest[1][:, None, :]).sum())
    return shared / (k * len(s))


def _nearest(features: Tensor, start: int, stop: int, k: int) -> Tensor:
    """The k nearest other images of each of the images start..stop, (stop - start, k)."""
    similarity = features[start:stop] @ features.T
    rows = torch.arange(start, stop)
    similarity[rows - start, rows] = -torch.inf
    return similarity.topk(k, dim=1).indices


def linear_cka(student: Tensor, teacher: Tensor) -> float | None:
    """||S'V||_F^2 / (||S'S||_F ||V'V||_F), where S and V are s and v minus their means over images.

    Linear centred kernel alignment (Kornblith et al. 2019, arXiv:1905.00414), in its feature form, which costs
    N D^2. None if all features of the student or of the teacher are equal.
    """
    s, v = (_normalised(each).double() for each in (student, teacher))
    s, v = s - s.mean(dim=0), v - v.mean(dim=0)
    norms = torch.linalg.matrix_norm(s.T @ s) * torch.linalg.matrix_norm(v.T @ v)
    if float(norms) <= 1e-12:
        return None
    return float((s.T @ v).square().sum() / norms)


def top1_agreement(student: Tensor, teacher: Tensor, texts: Tensor) -> float:
    """mean_N [argmax_K s . t = argmax_K v . t], the share of images with the same closest text."""
    t, same = _normalised(texts), 0
    for s, v in _normalised_batches(student, teacher, len(t)):
        same += int(((s @ t.T).argmax(dim=1) == (v @ t.T).argmax(dim=1)).sum())
    return same / len(student)


def top_texts_kl(
    student: Tensor, teacher: Tensor, texts: Tensor, *, temperature: float, num_texts: int = NUM_TEXTS
) -> float:
    """mean_N sum_j p_j (log p_j - log q_j), where j runs over the k texts closest to the image for the teacher.

    p and q are the softmax of v . t / temperature and s . t / temperature over those k; k is at most K. This is the
    formula of L-vlalign of arXiv:2307.03135, used as a metric.
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
    """Batches of normalised features of both, because N x K numbers may not fit in memory."""
    size = max(1, ELEMENTS_AT_ONCE // num_texts)
    starts = range(0, len(student), size)
    return (
        (_normalised(student[start : start + size]), _normalised(teacher[start : start + size])) for start in starts
    )
