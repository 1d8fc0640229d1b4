"""L-im-cst: known values."""

import numpy as np
import pytest
import torch

from distill.losses.image_contrastive import image_contrastive
from tests.distill.losses.references import B, D, features


def test_minimum_is_at_paired_features() -> None:
    _, teacher = (torch.tensor(x) for x in features(5))
    paired = image_contrastive(teacher, teacher, temperature=0.07)
    assert image_contrastive(teacher, teacher, temperature=0.001).item() == pytest.approx(0, abs=1e-9)
    for shift in range(1, B):
        assert image_contrastive(teacher.roll(shift, 0), teacher, temperature=0.07) > paired + 1


def test_equal_features_give_the_logarithm_of_the_batch_size() -> None:
    same = torch.ones(B, D)
    assert image_contrastive(same, same, temperature=0.07).item() == pytest.approx(np.log(B), abs=1e-6)
