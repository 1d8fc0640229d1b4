"""L-cls: known values."""

import numpy as np
import pytest
import torch

from distill.losses.text_classification import text_classification
from tests.distill.losses.references import D, K


def test_minimum_is_at_the_text_of_the_label() -> None:
    texts, labels = torch.eye(K, D), torch.arange(K)
    correct = text_classification(texts, texts, labels, temperature=0.07)
    assert correct.item() == pytest.approx(np.log(1 + (K - 1) * np.exp(-1 / 0.07)), abs=1e-6)
    assert text_classification(texts, texts, labels.roll(1), temperature=0.07) > correct + 10
