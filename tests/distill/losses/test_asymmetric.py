"""ASL and binary cross-entropy: against torch's own loss and a transcription of the published code."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.losses.asymmetric import asymmetric
from distill.losses.binary_cross_entropy import binary_cross_entropy
from distill.losses.label_logits import balanced_offset, label_logits
from tests.distill.losses.references import OFFSET, SHOWN, TAU, TEXTS, features

MATRIX, TEXT_FEATURES = torch.tensor(SHOWN), torch.tensor(TEXTS)


def published(logits: Tensor, y: Tensor, gamma_neg: float, gamma_pos: float, clip: float) -> Tensor:
    """`AsymmetricLoss.forward` of Alibaba-MIIL/ASL, in float64 and without its clamp at 1e-8."""
    xs_pos = torch.sigmoid(logits)
    xs_neg = 1 - xs_pos
    if clip > 0:
        xs_neg = (xs_neg + clip).clamp(max=1)
    loss = y * torch.log(xs_pos) + (1 - y) * torch.log(xs_neg)
    pt = xs_pos * y + xs_neg * (1 - y)
    loss = loss * torch.pow(1 - pt, gamma_pos * y + gamma_neg * (1 - y))
    return -loss.sum()


@pytest.mark.parametrize(("gamma_neg", "gamma_pos", "clip"), [(4, 0, 0.05), (4, 1, 0.05), (2, 1, 0.05), (3, 1.5, 0)])
def test_value_and_gradient_are_those_of_the_published_code(gamma_neg: float, gamma_pos: float, clip: float) -> None:
    for seed in range(5):
        student = torch.tensor(features(seed)[0], requires_grad=True)
        cosines = F.normalize(student, dim=-1) @ F.normalize(TEXT_FEATURES, dim=-1).T
        expected = published((cosines - OFFSET) / TAU, MATRIX.double(), gamma_neg, gamma_pos, clip) / len(student)
        value = asymmetric(
            student,
            TEXT_FEATURES,
            MATRIX,
            temperature=TAU,
            offset=OFFSET,
            gamma_positive=gamma_pos,
            gamma_negative=gamma_neg,
            shift=clip,
        )
        assert value.item() == pytest.approx(expected.item(), rel=1e-12)
        found, wanted = (torch.autograd.grad(loss, student)[0] for loss in (value, expected))
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


def test_cross_entropy_is_that_of_torch() -> None:
    student = torch.tensor(features(3)[0], requires_grad=True)
    logits = label_logits(student, TEXT_FEATURES, temperature=TAU, offset=OFFSET)
    expected = nn.BCEWithLogitsLoss(reduction="sum")(logits, MATRIX.double()) / len(student)
    value = binary_cross_entropy(student, TEXT_FEATURES, MATRIX, temperature=TAU, offset=OFFSET)
    assert value.item() == pytest.approx(expected.item(), rel=1e-12)
    found, wanted = (torch.autograd.grad(loss, student)[0] for loss in (value, expected))
    torch.testing.assert_close(found, wanted)


def test_without_focusing_and_shift_asl_is_cross_entropy() -> None:
    student = torch.tensor(features(4)[0])
    plain = {"gamma_positive": 0.0, "gamma_negative": 0.0, "shift": 0.0}
    value = asymmetric(student, TEXT_FEATURES, MATRIX, temperature=TAU, offset=OFFSET, **plain)
    expected = binary_cross_entropy(student, TEXT_FEATURES, MATRIX, temperature=TAU, offset=OFFSET)
    assert value.item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("offset", [-1.0, 1.0])
@pytest.mark.parametrize("shift", [0.0, 0.05])
def test_certain_mistakes_have_a_finite_value_and_gradient(offset: float, shift: float) -> None:
    """At a temperature of 0.001 the probabilities are 0 or 1 in float32."""
    student = torch.tensor(features(5)[0], dtype=torch.float32, requires_grad=True)
    for loss in (
        binary_cross_entropy(student, TEXT_FEATURES.float(), MATRIX, temperature=0.001, offset=offset),
        asymmetric(
            student,
            TEXT_FEATURES.float(),
            MATRIX,
            temperature=0.001,
            offset=offset,
            gamma_positive=1,
            gamma_negative=4,
            shift=shift,
        ),
    ):
        (gradient,) = torch.autograd.grad(loss, student)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()


def test_the_balanced_offset_expects_the_real_number_of_labels() -> None:
    cosines = F.normalize(torch.tensor(features(6)[0]), dim=-1) @ F.normalize(TEXT_FEATURES, dim=-1).T
    offset = balanced_offset(cosines, MATRIX, temperature=TAU)
    assert torch.sigmoid((cosines - offset) / TAU).sum().item() == pytest.approx(int(MATRIX.sum()), rel=1e-9)
    # It is the best offset of the cross-entropy.
    losses = [
        F.binary_cross_entropy_with_logits((cosines - other) / TAU, MATRIX.double()).item()
        for other in (offset - 0.01, offset, offset + 0.01)
    ]
    assert losses[1] == min(losses)
