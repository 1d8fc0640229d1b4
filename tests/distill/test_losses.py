"""Each loss against an independent float64 formula, forward and gradient, and where its value is known."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from distill.losses.feature_mse import feature_mse
from distill.losses.image_contrastive import image_contrastive
from distill.losses.text_classification import text_classification

Array = npt.NDArray[np.float64]
B, K, D = 7, 5, 16
LABELS = np.array([0, 4, 2, 2, 1, 3, 0])


def unit(x: Array) -> Array:
    return x / np.sqrt((x**2).sum(axis=1, keepdims=True))


def cross_entropy(logits: Array, truth: npt.NDArray[np.int64]) -> float:
    top = logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
    return float(np.mean(log_sum - logits[np.arange(len(truth)), truth]))


def expected_cls(s: Array, other: Array) -> float:
    return cross_entropy(unit(s) @ unit(other[:K]).T / 0.07, LABELS)


def expected_mse(s: Array, v: Array) -> float:
    return float(np.mean(2 - 2 * (unit(s) * unit(v)).sum(axis=1)))


def expected_mse_unnormalised(s: Array, v: Array) -> float:
    return float(np.log(1 + np.mean([((a - b) ** 2).sum() for a, b in zip(s, v, strict=True)]) / 10))


def expected_forth(s: Array, v: Array) -> float:
    return cross_entropy(unit(s) @ unit(v).T / 0.07, np.arange(B))


def expected_both(s: Array, v: Array) -> float:
    return (expected_forth(s, v) + expected_forth(v, s)) / 2


def unnormalised(s: Tensor, v: Tensor) -> Tensor:
    return feature_mse(s, v, form="unnormalised")


Loss = Callable[[Tensor, Tensor], Tensor]
CASES: dict[str, tuple[Loss, Callable[[Array, Array], float]]] = {
    "cls": (
        lambda s, other: text_classification(s, other[:K], torch.from_numpy(LABELS), temperature=0.07),
        expected_cls,
    ),
    "mse": (feature_mse, expected_mse),
    "mse_unnormalised": (unnormalised, expected_mse_unnormalised),
    "im_cst": (lambda s, v: image_contrastive(s, v, temperature=0.07), expected_both),
    "im_cst_one": (
        lambda s, v: image_contrastive(s, v, temperature=0.07, mode="image_to_teacher"),
        expected_forth,
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


@pytest.mark.parametrize("name", list(CASES))
def test_gradient_of_double_features(name: str) -> None:
    s, v = (torch.tensor(x, requires_grad=True) for x in features(1))
    assert torch.autograd.gradcheck(CASES[name][0], (s, v))


@pytest.mark.parametrize("name", list(CASES))
def test_autocast_does_not_reach_inside(name: str) -> None:
    loss, formula = CASES[name]
    s, v = (torch.tensor(x, dtype=torch.bfloat16) for x in features(2))
    exact = formula(s.double().numpy(), v.double().numpy())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(s, v)
    assert value.dtype == torch.float32
    assert abs(value.item() - exact) < 1e-5 * max(1, exact)


@pytest.mark.parametrize("loss", [feature_mse, unnormalised])
def test_mse_is_zero_only_at_the_teacher(loss: Loss) -> None:
    s, v = (torch.tensor(x) for x in features(3))
    assert loss(v, v).item() == 0
    assert loss(s, v).item() > 0.01


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
