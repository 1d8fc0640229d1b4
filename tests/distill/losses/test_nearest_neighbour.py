"""Nearest-neighbour guidance: which neighbours are used."""

import torch

from distill.losses.nearest_neighbour import nearest_neighbour
from tests.distill.losses.references import TAU, B, features, unit


def test_an_image_is_not_its_own_neighbour() -> None:
    s, v = (torch.tensor(x) for x in features(11))
    assert nearest_neighbour(s[:1], v[:1], 2 * v[:1], temperature=TAU).item() == 0
    # The queue has the features of the batch once, so that the neighbours are other features of the batch or queue.
    close = torch.cat([v, torch.tensor(unit(features(11)[1])) + 0.05])
    assert nearest_neighbour(s, v, close, temperature=TAU).item() > 0
    assert nearest_neighbour(close[B:], v, close, temperature=0.01).item() < 1e-3
