"""Affinity mimicking: its minimum."""

import pytest
import torch

from tests.distill.losses.references import CASES, TAU, TEXTS, features, like, unit


def test_minimum_is_the_entropy_of_the_teacher() -> None:
    s, v = (torch.tensor(x) for x in features(3))
    loss = CASES["affinity"][0]
    by_image = (v / v.norm(dim=1, keepdim=True)) @ like(unit(TEXTS), v).T / TAU
    entropies = [torch.distributions.Categorical(logits=logits).entropy().mean() for logits in (by_image, by_image.T)]
    assert loss(v, v).item() == pytest.approx(float(sum(entropies)) / 2)
    assert loss(s, v) > loss(v, v)
