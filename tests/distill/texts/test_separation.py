"""Margins between labels' text features: correct for known angles, and equal for any strip size."""

import math

import pytest
import torch

from distill.texts.separation import separation


def test_margins_of_known_angles() -> None:
    angles = [0.0, 30.0, 100.0]
    features = torch.tensor([[math.cos(math.radians(a)), math.sin(math.radians(a))] for a in angles]) * 7
    result = separation(features)
    assert result.nearest.tolist() == [1, 0, 1]
    expected = [1 - math.cos(math.radians(30))] * 2 + [1 - math.cos(math.radians(70))]
    torch.testing.assert_close(result.margin, torch.tensor(expected))


def test_strips_give_the_result_of_the_whole_matrix() -> None:
    features = torch.randn(37, 8, generator=torch.Generator().manual_seed(0))
    whole, strips = separation(features), separation(features, strip=50)
    assert torch.equal(whole.nearest, strips.nearest)
    torch.testing.assert_close(whole.margin, strips.margin)
    unit = torch.nn.functional.normalize(features, dim=-1)
    similar = (unit @ unit.T).fill_diagonal_(-2)
    torch.testing.assert_close(whole.margin, 1 - similar.max(dim=1).values)


def test_fewer_than_two_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="1 label: give at least two"):
        separation(torch.ones(1, 3))
