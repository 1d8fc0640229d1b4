"""L-vlalign: range, filter, and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.losses.affinity import affinity
from distill.losses.text_alignment import text_alignment
from tests.distill.losses.references import TAU, TEXTS, K, expected_vlalign, features, labels, unit, vlalign


@given(seed=st.integers(0, 10_000), k=st.integers(1, 300), only_right=st.booleans())
@settings(max_examples=30, deadline=None)
def test_alignment_is_not_negative_and_k_is_cut_to_the_number_of_labels(seed: int, k: int, only_right: bool) -> None:
    s, v = (torch.tensor(x) for x in features(seed))
    value = vlalign(s, v, k, only_right).item()
    assert value >= -1e-12
    assert value == pytest.approx(expected_vlalign(s.numpy(), v.numpy(), k, only_right), abs=1e-9)


def test_no_image_after_the_filter_gives_zero_without_gradient() -> None:
    student, teacher = (torch.tensor(x) for x in features(6))
    student.requires_grad_()
    wrong = (teacher @ torch.tensor(unit(TEXTS)).T).argmin(dim=1)
    value = text_alignment(student, teacher, torch.tensor(TEXTS), wrong, temperature=TAU, top_k=K, only_right=True)
    value.backward()
    assert value.item() == 0
    assert student.grad is not None
    assert torch.equal(student.grad, torch.zeros_like(student))


def test_alignment_over_one_text_is_zero() -> None:
    s, v = (torch.tensor(x) for x in features(7))
    assert vlalign(s, v, 1).item() == pytest.approx(0, abs=1e-12)


def test_teacher_side_of_alignment_and_affinity_has_no_gradient() -> None:
    s, v = (torch.tensor(x) for x in features(8))
    texts = torch.tensor(TEXTS, requires_grad=True)
    # For equal features the gradient of the student's side is zero, so that any gradient is the teacher side's.
    text_alignment(v, v, texts, labels(), temperature=TAU, top_k=K).backward()
    assert texts.grad is not None
    assert texts.grad.abs().max() < 1e-12
    texts.grad = None
    affinity(v, v, texts, temperature=TAU).backward()
    assert texts.grad.abs().max() < 1e-12
    text_alignment(s, v, texts, labels(), temperature=TAU, top_k=K).backward()
    assert texts.grad.abs().max() > 1e-3


def test_the_published_gradient_is_finite_where_probabilities_are_zero() -> None:
    s, v = (torch.tensor(x) for x in features(8))
    texts = torch.tensor(TEXTS, requires_grad=True)
    text_alignment(s, v, texts, labels(), temperature=1e-4, top_k=K, teacher_gradient=True).backward()
    assert texts.grad is not None
    assert texts.grad.isfinite().all()


def test_the_published_gradient_moves_texts_on_the_side_of_the_teacher_too() -> None:
    s, v = (torch.tensor(x) for x in features(8))
    texts = torch.tensor(TEXTS, requires_grad=True)
    settings = {"temperature": TAU, "top_k": K}
    published = text_alignment(s, v, texts, labels(), **settings, teacher_gradient=True)
    assert published.item() == pytest.approx(text_alignment(s, v, texts, labels(), **settings).item(), rel=1e-9)
    published.backward()
    assert texts.grad is not None
    found = texts.grad.clone()
    # By differences of the value in each of three directions.
    for seed in range(3):
        step = 1e-6 * torch.randn(texts.shape, dtype=texts.dtype, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            up, down = (text_alignment(s, v, texts + sign * step, labels(), **settings) for sign in (1, -1))
        assert (found * step).sum().item() == pytest.approx((up - down).item() / 2, rel=1e-4)
    texts.grad = None
    text_alignment(s, v, texts, labels(), **settings).backward()
    assert not torch.allclose(texts.grad, found, rtol=1e-2)
