"""Each loss against an independent float64 formula, forward and gradient, and where its value is known."""

import math
import sys
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from distill.losses.affinity import affinity
from distill.losses.caption_contrastive import caption_contrast
from distill.losses.closed_set import closed_set
from distill.losses.feature_distance import feature_distance
from distill.losses.feature_mse import feature_mse
from distill.losses.image_contrastive import image_contrastive
from distill.losses.interactive_contrastive import interactive_contrastive
from distill.losses.nearest_neighbour import neighbour_contrast
from distill.losses.queue_alignment import queue_alignment
from distill.losses.text_alignment import text_alignment
from distill.losses.text_classification import text_classification
from distill.losses.unseen_classification import unseen_classification

Array = npt.NDArray[np.float64]
B, K, D, Q, U, TAU = 7, 5, 8, 9, 3, 0.07
LABELS = np.array([0, 4, 2, 2, 1, 3, 0])
CAPTIONED = np.array([1, 1, 1, 1, 0, 1, 1], dtype=np.bool_)
_random = np.random.default_rng(99)
TEXTS, CAPTIONS, QUEUE, UNSEEN = (_random.normal(size=(rows, D)) for rows in (K, B, Q, U))


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


def divergence(wanted: list[float], own: list[float]) -> float:
    return sum(p * math.log(p / q) for p, q in zip(wanted, own, strict=True))


def expected_cls(s: Array, v: Array) -> float:
    return cross_entropy(unit(s) @ unit(TEXTS).T / TAU, LABELS)


def expected_mse(s: Array, v: Array) -> float:
    return float(np.mean(2 - 2 * (unit(s) * unit(v)).sum(axis=1)))


def expected_mse_unnormalised(s: Array, v: Array) -> float:
    return float(np.log(1 + np.mean([((a - b) ** 2).sum() for a, b in zip(s, v, strict=True)]) / 10))


def expected_forth(s: Array, v: Array) -> float:
    return cross_entropy(unit(s) @ unit(v).T / TAU, np.arange(len(s)))


def expected_both(s: Array, v: Array) -> float:
    return (expected_forth(s, v) + expected_forth(v, s)) / 2


def expected_vlalign(s: Array, v: Array, k: int = 3, only_right: bool = False) -> float:
    found = []
    for own, its, label in zip(s, v, LABELS, strict=True):
        theirs = [cos(its, text) / TAU for text in TEXTS]
        ranked = sorted(range(K), key=lambda at: -theirs[at])[:k]
        if not only_right or ranked[0] == label:
            found.append(
                divergence(
                    softmax([theirs[at] for at in ranked]), softmax([cos(own, TEXTS[at]) / TAU for at in ranked])
                )
            )
    return sum(found) / len(found) if found else 0.0


def expected_cap(s: Array, v: Array) -> float:
    found = []
    rows = [at for at in range(B) if CAPTIONED[at]]
    for at in rows:
        among = [other for other in rows if other == at or LABELS[other] != LABELS[at]]
        likely = softmax([cos(s[at], CAPTIONS[other]) for other in among])
        found.append(-math.log(likely[among.index(at)]))
    return sum(found) / len(found)


def expected_queue_kl(s: Array, v: Array) -> float:
    def near(x: Array) -> list[float]:
        return softmax([cos(x, q) / TAU for q in QUEUE])

    return sum(divergence(near(its), near(own)) for own, its in zip(s, v, strict=True)) / B


def expected_icl(s: Array, v: Array) -> float:
    found = 0.0
    for at in range(B):
        among = [other for other in range(B) if other == at or LABELS[other] != LABELS[at]]
        text = TEXTS[LABELS[at]]
        found -= math.log(softmax([cos(s[at], TEXTS[LABELS[other]]) / TAU for other in among])[among.index(at)])
        found -= math.log(softmax([cos(text, v[other]) / TAU for other in among])[among.index(at)])
    return found / (2 * B)


def expected_fd(s: Array, v: Array) -> float:
    return sum(
        (a - b) ** 2 for own, its in zip(unit(s), unit(v), strict=True) for a, b in zip(own, its, strict=True)
    ) / (B * D)


def expected_affinity(s: Array, v: Array) -> float:
    def soft(theirs: list[float], ours: list[float]) -> float:
        return -sum(p * math.log(q) for p, q in zip(softmax(theirs), softmax(ours), strict=True))

    by_image = [
        soft([cos(its, t) / TAU for t in TEXTS], [cos(own, t) / TAU for t in TEXTS])
        for own, its in zip(s, v, strict=True)
    ]
    by_text = [soft([cos(its, t) / TAU for its in v], [cos(own, t) / TAU for own in s]) for t in TEXTS]
    return (sum(by_image) / B + sum(by_text) / K) / 2


def expected_neighbour(s: Array, v: Array) -> float:
    nearest = [max(range(Q), key=lambda at: cos(its, QUEUE[at])) for its in v]
    found = 0.0
    for at in range(B):
        among = [other for other in range(B) if other == at or nearest[other] != nearest[at]]
        found -= math.log(softmax([cos(s[at], QUEUE[nearest[other]]) / TAU for other in among])[among.index(at)])
    return found / B


def expected_unseen(s: Array, v: Array) -> float:
    every = np.concatenate([TEXTS, UNSEEN])
    found = []
    for own, label in zip(unit(s), LABELS, strict=True):
        nearest = sorted(range(U), key=lambda at: -cos(TEXTS[label], UNSEEN[at]))[:2]
        for at in nearest:
            made = own - unit(TEXTS[label]) + unit(UNSEEN[at])
            found.append(-math.log(softmax([cos(made, text) / TAU for text in every])[K + at]))
    return sum(found) / len(found)


def of(array: Array, like: Tensor) -> Tensor:
    return torch.tensor(array, dtype=like.dtype)


def unnormalised(s: Tensor, v: Tensor) -> Tensor:
    return feature_mse(s, v, form="unnormalised")


def labels() -> Tensor:
    return torch.from_numpy(LABELS)


def vlalign(s: Tensor, v: Tensor, k: int = 3, only_right: bool = False) -> Tensor:
    return text_alignment(s, v, of(TEXTS, s), labels(), temperature=TAU, top_k=k, only_right=only_right)


def cap(s: Tensor, v: Tensor) -> Tensor:
    return caption_contrast(s, of(CAPTIONS, s), torch.from_numpy(CAPTIONED), labels(), temperature=1.0)


Loss = Callable[[Tensor, Tensor], Tensor]
CASES: dict[str, tuple[Loss, Callable[[Array, Array], float]]] = {
    "cls": (lambda s, v: text_classification(s, of(TEXTS, s), labels(), temperature=TAU), expected_cls),
    "mse": (feature_mse, expected_mse),
    "mse_unnormalised": (unnormalised, expected_mse_unnormalised),
    "im_cst": (lambda s, v: image_contrastive(s, v, temperature=TAU), expected_both),
    "im_cst_one": (lambda s, v: image_contrastive(s, v, temperature=TAU, mode="image_to_teacher"), expected_forth),
    "vlalign": (vlalign, expected_vlalign),
    "vlalign_all": (lambda s, v: vlalign(s, v, 256), lambda s, v: expected_vlalign(s, v, K)),
    "vlalign_right": (lambda s, v: vlalign(s, v, 4, True), lambda s, v: expected_vlalign(s, v, 4, True)),
    "cap": (cap, expected_cap),
    "queue_kl": (lambda s, v: queue_alignment(s, v, of(QUEUE, s), temperature=TAU), expected_queue_kl),
    "icl": (lambda s, v: interactive_contrastive(s, v, of(TEXTS, s), labels(), temperature=TAU), expected_icl),
    "fd": (feature_distance, expected_fd),
    "affinity": (lambda s, v: affinity(s, v, of(TEXTS, s), temperature=TAU), expected_affinity),
    "neighbour": (lambda s, v: neighbour_contrast(s, v, of(QUEUE, s), temperature=TAU), expected_neighbour),
    "closed_set": (lambda s, v: closed_set(s, labels()), lambda s, v: cross_entropy(s, LABELS)),
    "unseen": (
        lambda s, v: unseen_classification(s, of(TEXTS, s), labels(), of(UNSEEN, s), temperature=TAU, neighbours=2),
        expected_unseen,
    ),
}


def features(seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    teacher = rng.normal(size=(B, D))
    return teacher + 0.5 * rng.normal(size=(B, D)), teacher


def slope(formula: Callable[[Array, Array], float], s: Array, v: Array, step: float = 1e-6) -> Array:
    """Central differences of a formula over `s`."""
    found = np.zeros_like(s)
    for at in np.ndindex(s.shape):
        up, down = s.copy(), s.copy()
        up[at] += step
        down[at] -= step
        found[at] = (formula(up, v) - formula(down, v)) / (2 * step)
    return found


@pytest.mark.parametrize("name", list(CASES))
def test_value_and_gradient_equal_the_float64_formula(name: str) -> None:
    loss, formula = CASES[name]
    s, v = features()
    student = torch.tensor(s, dtype=torch.float32, requires_grad=True)
    value = loss(student, torch.tensor(v, dtype=torch.float32))
    value.backward()
    assert value.dtype == torch.float32
    assert abs(value.item() - formula(s, v)) < 1e-5 * max(1, abs(formula(s, v)))
    assert student.grad is not None
    np.testing.assert_allclose(student.grad.numpy(), slope(formula, s, v), atol=1e-5)


@pytest.mark.parametrize("name", ["cls", "mse", "mse_unnormalised", "im_cst", "im_cst_one"])
def test_gradient_of_double_features(name: str) -> None:
    s, v = (torch.tensor(x) for x in features(1))
    s.requires_grad_()
    assert torch.autograd.gradcheck(lambda own: CASES[name][0](own, v), (s,))


@pytest.mark.parametrize("name", list(CASES))
def test_autocast_does_not_reach_inside(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loss, formula = CASES[name]
    s, v = (torch.tensor(x, dtype=torch.bfloat16) for x in features(2))
    known = (TEXTS, CAPTIONS, QUEUE, UNSEEN)
    rounded = [torch.tensor(array, dtype=torch.bfloat16).double().numpy() for array in known]
    for name_, array in zip(("TEXTS", "CAPTIONS", "QUEUE", "UNSEEN"), rounded, strict=True):
        monkeypatch.setattr(sys.modules[__name__], name_, array)
    exact = formula(s.double().numpy(), v.double().numpy())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(s, v)
    assert value.dtype == torch.float32
    assert abs(value.item() - exact) < 1e-5 * max(1, exact)


@pytest.mark.parametrize("name", ["mse", "mse_unnormalised", "vlalign", "vlalign_all", "queue_kl", "fd"])
def test_a_distance_is_zero_only_at_the_teacher(name: str) -> None:
    loss, (s, v) = CASES[name][0], (torch.tensor(x) for x in features(3))
    assert loss(v, v).item() == pytest.approx(0, abs=1e-12)
    assert loss(s, v).item() > 1e-3


def test_affinity_is_least_at_the_teacher_where_it_is_the_teacher_s_entropy() -> None:
    s, v = (torch.tensor(x) for x in features(3))
    loss = CASES["affinity"][0]
    by_image = (v / v.norm(dim=1, keepdim=True)) @ of(unit(TEXTS), v).T / TAU
    entropies = [torch.distributions.Categorical(logits=logits).entropy().mean() for logits in (by_image, by_image.T)]
    assert loss(v, v).item() == pytest.approx(float(sum(entropies)) / 2)
    assert loss(s, v) > loss(v, v)


def test_normalised_mse_knows_directions_only() -> None:
    _, teacher = (torch.tensor(x) for x in features(4))
    assert feature_mse(3 * teacher, teacher).item() == pytest.approx(0, abs=1e-12)
    assert feature_mse(-teacher, teacher).item() == pytest.approx(4)


def test_a_contrast_is_least_where_student_and_teacher_pair_up() -> None:
    _, teacher = (torch.tensor(x) for x in features(5))
    paired = image_contrastive(teacher, teacher, temperature=0.07)
    assert image_contrastive(teacher, teacher, temperature=0.001).item() == pytest.approx(0, abs=1e-9)
    for shift in range(1, B):
        assert image_contrastive(teacher.roll(shift, 0), teacher, temperature=0.07) > paired + 1


def test_a_contrast_of_equal_features_is_the_logarithm_of_the_batch() -> None:
    same = torch.ones(B, D)
    assert image_contrastive(same, same, temperature=0.07).item() == pytest.approx(np.log(B), abs=1e-6)


def test_classification_is_least_at_the_label_s_own_text() -> None:
    texts, labels = torch.eye(K, D), torch.arange(K)
    own = text_classification(texts, texts, labels, temperature=0.07)
    assert own.item() == pytest.approx(np.log(1 + (K - 1) * np.exp(-1 / 0.07)), abs=1e-6)
    assert text_classification(texts, texts, labels.roll(1), temperature=0.07) > own + 10


@given(seed=st.integers(0, 10_000), k=st.integers(1, 300), only_right=st.booleans())
@settings(max_examples=30, deadline=None)
def test_alignment_is_never_below_zero_and_k_is_cut_to_the_labels(seed: int, k: int, only_right: bool) -> None:
    s, v = (torch.tensor(x) for x in features(seed))
    value = vlalign(s, v, k, only_right).item()
    assert value >= -1e-12
    assert value == pytest.approx(expected_vlalign(s.numpy(), v.numpy(), k, only_right), abs=1e-9)


def test_a_filter_that_nothing_passes_gives_zero_and_no_gradient() -> None:
    student, teacher = (torch.tensor(x) for x in features(6))
    student.requires_grad_()
    wrong = (teacher @ torch.tensor(unit(TEXTS)).T).argmin(dim=1)
    value = text_alignment(student, teacher, torch.tensor(TEXTS), wrong, temperature=TAU, top_k=K, only_right=True)
    value.backward()
    assert value.item() == 0
    assert student.grad is not None
    assert torch.equal(student.grad, torch.zeros_like(student))


def test_alignment_with_one_text_only_is_zero() -> None:
    s, v = (torch.tensor(x) for x in features(7))
    assert vlalign(s, v, 1).item() == pytest.approx(0, abs=1e-12)


def test_the_teacher_s_side_of_alignment_and_affinity_carries_no_gradient() -> None:
    s, v = (torch.tensor(x) for x in features(8))
    texts = torch.tensor(TEXTS, requires_grad=True)
    # At the teacher the student's side is at its minimum, so that any gradient would be the teacher's.
    text_alignment(v, v, texts, labels(), temperature=TAU, top_k=K).backward()
    assert texts.grad is not None
    assert texts.grad.abs().max() < 1e-12
    texts.grad = None
    affinity(v, v, texts, temperature=TAU).backward()
    assert texts.grad.abs().max() < 1e-12
    text_alignment(s, v, texts, labels(), temperature=TAU, top_k=K).backward()
    assert texts.grad.abs().max() > 1e-3


def test_images_without_a_caption_are_left_out_whatever_stands_in_their_place() -> None:
    s = torch.tensor(features(9)[0], requires_grad=True)
    captions, captioned = torch.tensor(CAPTIONS), torch.from_numpy(CAPTIONED)
    usual = caption_contrast(s, captions, captioned, labels(), temperature=1.0)
    spoiled = captions.masked_fill(~captioned[:, None], float("nan"))
    value = caption_contrast(s, spoiled, captioned, labels(), temperature=1.0)
    assert value.item() == usual.item()
    value.backward()
    assert s.grad is not None
    assert torch.equal(s.grad[4], torch.zeros(D))
    assert torch.isfinite(s.grad).all()
    nothing = caption_contrast(s, spoiled, torch.zeros_like(captioned), labels(), temperature=1.0)
    s.grad = None
    nothing.backward()
    assert nothing.item() == 0
    assert torch.equal(s.grad, torch.zeros_like(s))


def test_a_batch_of_one_label_has_no_wrong_captions_or_texts() -> None:
    s, v = (torch.tensor(x) for x in features(10))
    one = torch.zeros(B, dtype=torch.int64)
    everyone = torch.ones(B, dtype=torch.bool)
    assert caption_contrast(s, torch.tensor(CAPTIONS), everyone, one, temperature=1.0).item() == 0
    assert interactive_contrastive(s, v, torch.tensor(TEXTS), one, temperature=TAU).item() == 0


def test_an_image_is_not_its_own_neighbour() -> None:
    s, v = (torch.tensor(x) for x in features(11))
    assert neighbour_contrast(s[:1], v[:1], 2 * v[:1], temperature=TAU).item() == 0
    # Each of the batch's own features is in the queue once; the neighbours are then others of the batch or the queue.
    close = torch.cat([v, torch.tensor(unit(features(11)[1])) + 0.05])
    assert neighbour_contrast(s, v, close, temperature=TAU).item() > 0
    assert neighbour_contrast(close[B:], v, close, temperature=0.01).item() < 1e-3


def test_all_unseen_labels_are_taken_where_there_are_fewer_than_wanted() -> None:
    s = torch.tensor(features(12)[0])
    given = (s, torch.tensor(TEXTS), labels(), torch.tensor(UNSEEN))
    all_of_them = unseen_classification(*given, temperature=TAU, neighbours=U)
    assert unseen_classification(*given, temperature=TAU, neighbours=50).item() == all_of_them.item()
