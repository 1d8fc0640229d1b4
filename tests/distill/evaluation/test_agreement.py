"""Agreement of student and teacher: bounds of each metric, and an independent computation of each."""

import numpy as np
import pytest
import torch

from distill.evaluation import agreement as module
from distill.evaluation.agreement import (
    agreement,
    feature_cosine,
    linear_cka,
    neighbour_overlap,
    top1_agreement,
    top_texts_kl,
)

RANDOM = torch.Generator().manual_seed(3)
STUDENT, TEXTS = torch.randn(40, 7, generator=RANDOM), torch.randn(9, 7, generator=RANDOM)
TEACHER = STUDENT + 0.6 * torch.randn(40, 7, generator=RANDOM)


def unit(features: torch.Tensor) -> np.ndarray:  # type: ignore[type-arg]
    plain = features.double().numpy()
    return plain / np.linalg.norm(plain, axis=1, keepdims=True)


S, V, T = unit(STUDENT), unit(TEACHER), unit(TEXTS)


def test_equal_features_have_full_agreement() -> None:
    got = agreement(5 * TEACHER, TEACHER, TEXTS, temperature=0.07)
    assert got.feature_cosine == pytest.approx(1)
    assert got.linear_cka == pytest.approx(1)
    assert got.neighbour_overlap == got.top1_agreement == 1
    assert got.top_texts_kl == pytest.approx(0, abs=1e-6)
    assert (got.num_images, got.num_neighbours, got.num_neighbour_images, got.num_texts) == (40, 10, 40, 9)


def test_cosine_is_the_mean_over_pairs() -> None:
    each = [np.dot(s, v) for s, v in zip(S, V, strict=True)]
    assert feature_cosine(STUDENT, TEACHER) == pytest.approx(np.mean(each), abs=1e-6)
    assert feature_cosine(STUDENT, -STUDENT) == pytest.approx(-1)


def test_overlap_is_the_share_of_common_neighbours() -> None:
    def near(features: np.ndarray, at: int) -> set[int]:  # type: ignore[type-arg]
        distance = np.linalg.norm(features - features[at], axis=1)
        return set([int(other) for other in np.argsort(distance) if other != at][:5])

    shares = [len(near(S, at) & near(V, at)) / 5 for at in range(40)]
    assert neighbour_overlap(STUDENT, TEACHER, num_neighbours=5) == pytest.approx(np.mean(shares))
    assert neighbour_overlap(STUDENT[:1], TEACHER[:1]) is None
    assert neighbour_overlap(STUDENT[:3], TEACHER[:3]) == 1  # the only two other images


def test_overlap_in_batches_equals_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = neighbour_overlap(STUDENT, TEACHER)
    monkeypatch.setattr(module, "ELEMENTS_AT_ONCE", 7 * 40)
    assert neighbour_overlap(STUDENT, TEACHER) == whole


def test_cka_equals_its_kernel_form() -> None:
    centre = np.eye(40) - 1 / 40
    k, m = centre @ (S @ S.T) @ centre, centre @ (V @ V.T) @ centre
    expected = np.trace(k @ m) / np.sqrt(np.trace(k @ k) * np.trace(m @ m))
    assert linear_cka(STUDENT, TEACHER) == pytest.approx(expected, abs=1e-6)
    rotated = torch.linalg.qr(torch.randn(7, 7, generator=RANDOM)).Q
    assert linear_cka(STUDENT, STUDENT @ rotated) == pytest.approx(1)
    assert linear_cka(STUDENT, TEACHER[:1].expand(40, -1)) is None


def test_top1_agreement_is_the_share_of_equal_predictions() -> None:
    expected = np.mean([np.argmax(T @ s) == np.argmax(T @ v) for s, v in zip(S, V, strict=True)])
    assert 0 < expected < 1
    assert top1_agreement(STUDENT, TEACHER, TEXTS) == pytest.approx(expected)


@pytest.mark.parametrize("count", [4, 9, 256])
def test_kl_is_over_the_texts_closest_for_the_teacher(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    total = 0.0
    for s, v in zip(S, V, strict=True):
        best = np.argsort(-(T @ v))[:count]
        p, q = (np.exp(T[best] @ each / 0.3) for each in (v, s))
        p, q = p / p.sum(), q / q.sum()
        total += float(np.sum(p * np.log(p / q)))
    monkeypatch.setattr(module, "ELEMENTS_AT_ONCE", 9 * 11)
    got = top_texts_kl(STUDENT, TEACHER, TEXTS, temperature=0.3, num_texts=count)
    assert got == pytest.approx(total / 40, abs=1e-5)


def test_images_for_neighbours_are_sampled_by_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NEIGHBOUR_IMAGES", 15)
    one, same, other = (agreement(STUDENT, TEACHER, TEXTS, temperature=0.07, seed=seed) for seed in (1, 1, 2))
    assert one == same
    assert one.neighbour_overlap != other.neighbour_overlap
    assert (one.num_neighbour_images, one.num_images) == (15, 40)
    assert one.linear_cka == linear_cka(STUDENT, TEACHER)


def test_inconsistent_shapes_are_refused() -> None:
    for student, teacher, texts, message in (
        (STUDENT[:3], TEACHER, TEXTS, "cannot be compared"),
        (STUDENT[:0], TEACHER[:0], TEXTS, "cannot be compared"),
        (STUDENT, TEACHER, TEXTS[:, :5], "width 5"),
    ):
        with pytest.raises(ValueError, match=message):
            agreement(student, teacher, texts, temperature=0.07)
