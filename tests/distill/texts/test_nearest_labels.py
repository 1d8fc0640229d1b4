"""Nearest labels: equal to the full similarity matrix for any strip size, and each pair listed once."""

import pytest
import torch
import torch.nn.functional as F

from distill.texts.nearest_labels import nearest_labels, nearest_pairs


@pytest.mark.parametrize("strip", [1, 50, 2**24])
def test_strips_give_the_result_of_the_whole_matrix(strip: int) -> None:
    features = torch.randn(23, 8, generator=torch.Generator().manual_seed(0))
    unit = F.normalize(features, dim=-1)
    similarities = (unit @ unit.T).fill_diagonal_(-2)
    assert torch.equal(nearest_labels(features, 3, strip=strip), similarities.topk(3, dim=1).indices)


def test_there_are_at_most_all_other_labels() -> None:
    assert nearest_labels(torch.eye(3), 10).shape == (3, 2)


def test_each_pair_is_listed_once_in_order() -> None:
    nearest = torch.tensor([[1, 2], [0, 3], [0, 1], [1, 0]])
    assert nearest_pairs(nearest) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3)]
