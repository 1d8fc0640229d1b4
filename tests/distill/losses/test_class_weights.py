"""Class weights: formulas, mean, labels without images, and their effect in the two losses that use them."""

import pytest
import torch
import torch.nn.functional as F

from distill.config.train_config import ClassWeights
from distill.losses.class_weights import class_weights
from distill.losses.closed_set import closed_set
from distill.losses.text_classification import text_classification

COUNTS = torch.tensor([400, 100, 4, 0])


@pytest.mark.image_input("Students", "`class_weights`", "rare labels count more in L-cls and closed_set")
@pytest.mark.parametrize(
    ("kind", "ratios"),
    [("inverse", [1.0, 4.0, 100.0]), ("inverse_sqrt", [1.0, 2.0, 10.0]), ("effective", [1.0, 3.4631, 82.5502])],
)
def test_weights_follow_their_formula(kind: ClassWeights, ratios: list[float]) -> None:
    weights = class_weights(kind, COUNTS, beta=0.999)
    assert weights is not None
    torch.testing.assert_close(weights[:3] / weights[0], torch.tensor(ratios), rtol=1e-3, atol=0)
    assert weights[3] == 0
    assert weights[:3].mean().item() == pytest.approx(1)


def test_effective_number_lies_between_equal_and_inverse_weights() -> None:
    near_equal, near_inverse = (class_weights("effective", COUNTS, beta=beta) for beta in (0.0, 1 - 1e-9))
    inverse = class_weights("inverse", COUNTS, beta=0.5)
    assert near_equal is not None
    assert near_inverse is not None
    assert inverse is not None
    torch.testing.assert_close(near_equal, torch.tensor([1.0, 1.0, 1.0, 0.0]))
    torch.testing.assert_close(near_inverse, inverse, rtol=1e-4, atol=0)
    assert class_weights("none", COUNTS, beta=0.9) is None


def test_losses_are_means_weighted_by_label() -> None:
    torch.manual_seed(0)
    student, texts, labels = torch.randn(6, 5), torch.randn(3, 5), torch.tensor([0, 0, 0, 0, 1, 2])
    weights = torch.tensor([0.25, 1.0, 1.75])
    each = torch.stack([text_classification(student[[i]], texts, labels[[i]], temperature=0.1) for i in range(6)])
    expected = (each * weights[labels]).sum() / weights[labels].sum()
    torch.testing.assert_close(text_classification(student, texts, labels, weights, temperature=0.1), expected)
    logits = torch.randn(6, 3)
    each = F.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(
        closed_set(logits, labels, weights), (each * weights[labels]).sum() / weights[labels].sum()
    )
