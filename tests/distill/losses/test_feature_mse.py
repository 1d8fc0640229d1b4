"""L-mse: the normalised form."""

import pytest
import torch

from distill.losses.feature_mse import feature_mse
from tests.distill.losses.references import features


def test_normalised_form_ignores_lengths() -> None:
    _, teacher = (torch.tensor(x) for x in features(4))
    assert feature_mse(3 * teacher, teacher).item() == pytest.approx(0, abs=1e-12)
    assert feature_mse(-teacher, teacher).item() == pytest.approx(4)
