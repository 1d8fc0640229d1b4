"""Every loss term against its float64 reference formula: value, gradient, and precision under autocast."""

import numpy as np
import pytest
import torch

from distill.losses.caption_contrastive import caption_contrastive
from distill.losses.interactive_contrastive import interactive_contrastive
from distill.losses.several_texts import several_texts
from distill.losses.text_classification import text_classification
from tests.distill.losses import references
from tests.distill.losses.references import CAPTIONS, CASES, TAU, TEXTS, B, features, slope


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
def test_gradient_in_float64(name: str) -> None:
    s, v = (torch.tensor(x) for x in features(1))
    s.requires_grad_()
    assert torch.autograd.gradcheck(lambda own: CASES[name][0](own, v), (s,))


@pytest.mark.parametrize("name", list(CASES))
def test_losses_ignore_autocast(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loss, formula = CASES[name]
    s, v = (torch.tensor(x, dtype=torch.bfloat16) for x in features(2))
    for constant in ("TEXTS", "CAPTIONS", "QUEUE", "UNSEEN", "PHRASES", "LABEL_TEXTS"):
        array = torch.tensor(getattr(references, constant), dtype=torch.bfloat16).double().numpy()
        monkeypatch.setattr(references, constant, array)
    exact = formula(s.double().numpy(), v.double().numpy())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(s, v)
    assert value.dtype == torch.float32
    assert abs(value.item() - exact) < 1e-5 * max(1, exact)


@pytest.mark.parametrize("name", ["mse", "mse_unnormalised", "vlalign", "vlalign_all", "queue_kl", "fd", "phrase_kl"])
def test_distances_are_zero_only_for_equal_features(name: str) -> None:
    loss, (s, v) = CASES[name][0], (torch.tensor(x) for x in features(3))
    assert loss(v, v).item() == pytest.approx(0, abs=1e-12)
    assert loss(s, v).item() > 1e-3


def test_batch_of_one_label_has_no_negatives() -> None:
    s, v = (torch.tensor(x) for x in features(10))
    one = torch.zeros(B, dtype=torch.int64)
    all_captioned = torch.ones(B, dtype=torch.bool)
    assert caption_contrastive(s, torch.tensor(CAPTIONS), all_captioned, one, temperature=1.0).item() == 0
    assert interactive_contrastive(s, v, torch.tensor(TEXTS), one, temperature=TAU).item() == 0


def test_several_texts_equal_l_cls_if_each_label_has_one_text() -> None:
    s, labels = torch.tensor(features(4)[0]), torch.tensor([0, 4, 2, 2, 1, 3, 0])
    texts = torch.tensor(TEXTS)
    several = several_texts(s, texts, torch.arange(len(texts)), labels, temperature=TAU)
    torch.testing.assert_close(several, text_classification(s, texts, labels, temperature=TAU))


def test_several_texts_neither_over_nor_underflow_at_the_lowest_temperature() -> None:
    s = torch.tensor(features(5)[0], dtype=torch.float32, requires_grad=True)
    texts, zeros = torch.tensor(TEXTS, dtype=torch.float32), torch.zeros(B, dtype=torch.int64)
    loss = several_texts(s, texts, torch.arange(len(texts)), zeros, temperature=0.001)
    loss.backward()
    assert s.grad is not None
    assert torch.isfinite(s.grad).all()
    torch.testing.assert_close(loss, text_classification(s, texts, zeros, temperature=0.001))
