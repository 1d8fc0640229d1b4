"""Reference formulas of all loss terms in float64, written independently of the code, and small random inputs.

B images, K labels, D embedding width, Q queued features, U unseen labels, P phrases, N texts of all labels.
"""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distill.losses.affinity import affinity
from distill.losses.asymmetric import asymmetric
from distill.losses.binary_cross_entropy import binary_cross_entropy
from distill.losses.caption_contrastive import caption_contrastive
from distill.losses.closed_set import closed_set
from distill.losses.feature_distance import feature_distance
from distill.losses.feature_mse import feature_mse
from distill.losses.image_contrastive import image_contrastive
from distill.losses.interactive_contrastive import interactive_contrastive
from distill.losses.nearest_neighbour import nearest_neighbour
from distill.losses.phrase_alignment import phrase_alignment
from distill.losses.queue_alignment import queue_alignment
from distill.losses.several_texts import several_texts
from distill.losses.text_alignment import text_alignment
from distill.losses.text_classification import text_classification
from distill.losses.unseen_classification import unseen_classification

Array = npt.NDArray[np.float64]
B, K, D, Q, U, P, N, TAU = 7, 5, 8, 9, 3, 6, 9, 0.07
LABELS = np.array([0, 4, 2, 2, 1, 3, 0])
CAPTIONED = np.array([1, 1, 1, 1, 0, 1, 1], dtype=np.bool_)
_random = np.random.default_rng(99)
TEXTS, CAPTIONS, QUEUE, UNSEEN = (_random.normal(size=(rows, D)) for rows in (K, B, Q, U))
PHRASES, LABEL_TEXTS = (_random.normal(size=(rows, D)) for rows in (P, N))
TEXT_LABELS = np.array([0, 0, 1, 2, 2, 2, 3, 4, 4])
SHOWN = _random.random(size=(B, K)) < 0.4
OFFSET = 0.2
"""Cosine at which a label is as likely as not."""


def unit(x: Array) -> Array:
    return x / np.sqrt((x**2).sum(axis=-1, keepdims=True))


def cos(a: Array, b: Array) -> float:
    return float(a @ b / math.sqrt((a @ a) * (b @ b)))


def softmax(row: list[float]) -> list[float]:
    top = max(row)
    powers = [math.exp(x - top) for x in row]
    return [power / sum(powers) for power in powers]


def cross_entropy(logits: Array, truth: npt.NDArray[np.int64]) -> float:
    top = logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
    return float(np.mean(log_sum - logits[np.arange(len(truth)), truth]))


def divergence(targets: list[float], predictions: list[float]) -> float:
    return sum(p * math.log(p / q) for p, q in zip(targets, predictions, strict=True))


def expected_cls(s: Array, v: Array) -> float:
    return cross_entropy(unit(s) @ unit(TEXTS).T / TAU, LABELS)


def expected_mse(s: Array, v: Array) -> float:
    return float(np.mean(2 - 2 * (unit(s) * unit(v)).sum(axis=1)))


def expected_mse_unnormalised(s: Array, v: Array) -> float:
    return float(np.log(1 + np.mean([((a - b) ** 2).sum() for a, b in zip(s, v, strict=True)]) / 10))


def expected_im_cst_one(s: Array, v: Array) -> float:
    return cross_entropy(unit(s) @ unit(v).T / TAU, np.arange(len(s)))


def expected_im_cst(s: Array, v: Array) -> float:
    return (expected_im_cst_one(s, v) + expected_im_cst_one(v, s)) / 2


def expected_vlalign(s: Array, v: Array, k: int = 3, only_right: bool = False) -> float:
    divergences = []
    for student, teacher, label in zip(s, v, LABELS, strict=True):
        teacher_logits = [cos(teacher, text) / TAU for text in TEXTS]
        ranked = sorted(range(K), key=lambda at: -teacher_logits[at])[:k]
        if not only_right or ranked[0] == label:
            student_logits = [cos(student, TEXTS[at]) / TAU for at in ranked]
            divergences.append(divergence(softmax([teacher_logits[at] for at in ranked]), softmax(student_logits)))
    return sum(divergences) / len(divergences) if divergences else 0.0


def expected_cap(s: Array, v: Array) -> float:
    losses = []
    rows = [at for at in range(B) if CAPTIONED[at]]
    for at in rows:
        candidates = [other for other in rows if other == at or LABELS[other] != LABELS[at]]
        probabilities = softmax([cos(s[at], CAPTIONS[other]) for other in candidates])
        losses.append(-math.log(probabilities[candidates.index(at)]))
    return sum(losses) / len(losses)


def expected_queue_kl(s: Array, v: Array) -> float:
    def probabilities(x: Array) -> list[float]:
        return softmax([cos(x, q) / TAU for q in QUEUE])

    pairs = zip(s, v, strict=True)
    return sum(divergence(probabilities(teacher), probabilities(student)) for student, teacher in pairs) / B


def expected_icl(s: Array, v: Array) -> float:
    total = 0.0
    for at in range(B):
        candidates = [other for other in range(B) if other == at or LABELS[other] != LABELS[at]]
        place, text = candidates.index(at), TEXTS[LABELS[at]]
        total -= math.log(softmax([cos(s[at], TEXTS[LABELS[other]]) / TAU for other in candidates])[place])
        total -= math.log(softmax([cos(text, v[other]) / TAU for other in candidates])[place])
    return total / (2 * B)


def expected_fd(s: Array, v: Array) -> float:
    pairs = zip(unit(s), unit(v), strict=True)
    return sum((a - b) ** 2 for student, teacher in pairs for a, b in zip(student, teacher, strict=True)) / (B * D)


def expected_affinity(s: Array, v: Array) -> float:
    def soft_cross_entropy(teacher_logits: list[float], student_logits: list[float]) -> float:
        pairs = zip(softmax(teacher_logits), softmax(student_logits), strict=True)
        return -sum(p * math.log(q) for p, q in pairs)

    by_image = [
        soft_cross_entropy([cos(teacher, t) / TAU for t in TEXTS], [cos(student, t) / TAU for t in TEXTS])
        for student, teacher in zip(s, v, strict=True)
    ]
    by_text = [soft_cross_entropy([cos(x, t) / TAU for x in v], [cos(x, t) / TAU for x in s]) for t in TEXTS]
    return (sum(by_image) / B + sum(by_text) / K) / 2


def expected_neighbour(s: Array, v: Array) -> float:
    nearest = [max(range(Q), key=lambda at: cos(teacher, QUEUE[at])) for teacher in v]
    total = 0.0
    for at in range(B):
        candidates = [other for other in range(B) if other == at or nearest[other] != nearest[at]]
        probabilities = softmax([cos(s[at], QUEUE[nearest[other]]) / TAU for other in candidates])
        total -= math.log(probabilities[candidates.index(at)])
    return total / B


def expected_unseen(s: Array, v: Array) -> float:
    all_texts = np.concatenate([TEXTS, UNSEEN])
    losses = []
    for student, label in zip(unit(s), LABELS, strict=True):
        nearest = sorted(range(U), key=lambda at: -cos(TEXTS[label], UNSEEN[at]))[:2]
        for at in nearest:
            synthesised = student - unit(TEXTS[label]) + unit(UNSEEN[at])
            losses.append(-math.log(softmax([cos(synthesised, text) / TAU for text in all_texts])[K + at]))
    return sum(losses) / len(losses)


def expected_phrases(s: Array, v: Array, k: int = 4) -> float:
    divergences = []
    for student, teacher in zip(s, v, strict=True):
        logits = sorted(((cos(teacher, one) / TAU, cos(student, one) / TAU) for one in PHRASES), reverse=True)[:k]
        divergences.append(divergence(softmax([one for one, _ in logits]), softmax([one for _, one in logits])))
    return sum(divergences) / len(divergences)


def expected_cls_texts(s: Array, v: Array) -> float:
    powers = np.exp(unit(s) @ unit(LABEL_TEXTS).T / TAU)
    means = np.stack([powers[:, label == TEXT_LABELS].mean(axis=1) for label in range(K)], axis=1)
    return cross_entropy(np.log(means), LABELS)


def expected_multi_label(s: Array, positive: Callable[[float], float], negative: Callable[[float], float]) -> float:
    """Mean over images of the sum over labels, of functions of the probability of a label."""
    total = 0.0
    for student, shown in zip(s, SHOWN, strict=True):
        for text, is_shown in zip(TEXTS, shown, strict=True):
            p = 1 / (1 + math.exp(-(cos(student, text) - OFFSET) / TAU))
            total += positive(p) if is_shown else negative(p)
    return total / len(s)


def expected_bce(s: Array, v: Array) -> float:
    return expected_multi_label(s, lambda p: -math.log(p), lambda p: -math.log(1 - p))


def expected_asl(s: Array, v: Array) -> float:
    """g+ = 1, g- = 2 and m = 0.05, as in the code of arXiv:2307.03135."""

    def negative(p: float) -> float:
        q = max(p - 0.05, 0)
        return -(q**2) * math.log(1 - q)

    return expected_multi_label(s, lambda p: -(1 - p) * math.log(p), negative)


def like(array: Array, other: Tensor) -> Tensor:
    """The array as a tensor of the dtype of `other`."""
    return torch.tensor(array, dtype=other.dtype)


def unnormalised(s: Tensor, v: Tensor) -> Tensor:
    return feature_mse(s, v, form="unnormalised")


def labels() -> Tensor:
    return torch.from_numpy(LABELS)


def vlalign(s: Tensor, v: Tensor, k: int = 3, only_right: bool = False) -> Tensor:
    return text_alignment(s, v, like(TEXTS, s), labels(), temperature=TAU, top_k=k, only_right=only_right)


def cap(s: Tensor, v: Tensor) -> Tensor:
    return caption_contrastive(s, like(CAPTIONS, s), torch.from_numpy(CAPTIONED), labels(), temperature=1.0)


def cls_texts(s: Tensor, v: Tensor) -> Tensor:
    return several_texts(s, like(LABEL_TEXTS, s), torch.from_numpy(TEXT_LABELS), labels(), temperature=TAU)


Loss = Callable[[Tensor, Tensor], Tensor]
CASES: dict[str, tuple[Loss, Callable[[Array, Array], float]]] = {
    "cls": (lambda s, v: text_classification(s, like(TEXTS, s), labels(), temperature=TAU), expected_cls),
    "mse": (feature_mse, expected_mse),
    "mse_unnormalised": (unnormalised, expected_mse_unnormalised),
    "im_cst": (lambda s, v: image_contrastive(s, v, temperature=TAU), expected_im_cst),
    "im_cst_one": (lambda s, v: image_contrastive(s, v, temperature=TAU, mode="image_to_teacher"), expected_im_cst_one),
    "vlalign": (vlalign, expected_vlalign),
    "vlalign_all": (lambda s, v: vlalign(s, v, 256), lambda s, v: expected_vlalign(s, v, K)),
    "vlalign_right": (lambda s, v: vlalign(s, v, 4, True), lambda s, v: expected_vlalign(s, v, 4, True)),
    "cap": (cap, expected_cap),
    "queue_kl": (lambda s, v: queue_alignment(s, v, like(QUEUE, s), temperature=TAU), expected_queue_kl),
    "icl": (lambda s, v: interactive_contrastive(s, v, like(TEXTS, s), labels(), temperature=TAU), expected_icl),
    "fd": (feature_distance, expected_fd),
    "affinity": (lambda s, v: affinity(s, v, like(TEXTS, s), temperature=TAU), expected_affinity),
    "neighbour": (
        lambda s, v: nearest_neighbour(
            s, v, like(QUEUE, s), torch.arange(len(s)), torch.arange(Q) + 100, temperature=TAU
        ),
        expected_neighbour,
    ),
    "phrase_kl": (
        lambda s, v: phrase_alignment(s, v, like(PHRASES, s), temperature=TAU, top_k=4),
        expected_phrases,
    ),
    "cls_texts": (cls_texts, expected_cls_texts),
    "closed_set": (lambda s, v: closed_set(s, labels()), lambda s, v: cross_entropy(s, LABELS)),
    "unseen": (
        lambda s, v: unseen_classification(
            s, like(TEXTS, s), labels(), like(UNSEEN, s), temperature=TAU, num_nearest=2
        ),
        expected_unseen,
    ),
    "bce": (
        lambda s, v: binary_cross_entropy(s, like(TEXTS, s), torch.tensor(SHOWN), temperature=TAU, offset=OFFSET),
        expected_bce,
    ),
    "asl": (
        lambda s, v: asymmetric(
            s,
            like(TEXTS, s),
            torch.tensor(SHOWN),
            temperature=TAU,
            offset=OFFSET,
            gamma_positive=1.0,
            gamma_negative=2.0,
            shift=0.05,
        ),
        expected_asl,
    ),
}


def features(seed: int = 0) -> tuple[Array, Array]:
    """Student and teacher features (B, D)."""
    rng = np.random.default_rng(seed)
    teacher = rng.normal(size=(B, D))
    return teacher + 0.5 * rng.normal(size=(B, D)), teacher


def slope(formula: Callable[[Array, Array], float], s: Array, v: Array, step: float = 1e-6) -> Array:
    """Numerical gradient of a formula with respect to `s`, by central differences."""
    gradient = np.zeros_like(s)
    for at in np.ndindex(s.shape):
        up, down = s.copy(), s.copy()
        up[at] += step
        down[at] -= step
        gradient[at] = (formula(up, v) - formula(down, v)) / (2 * step)
    return gradient
