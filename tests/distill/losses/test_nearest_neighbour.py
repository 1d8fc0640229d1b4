"""Nearest-neighbour guidance: which neighbours are used."""

import torch

from distill.losses.nearest_neighbour import MIXED_IMAGE, nearest_neighbour
from tests.distill.losses.references import TAU, B, features, unit


def test_an_image_is_not_its_own_neighbour() -> None:
    s, v = (torch.tensor(x) for x in features(11))
    known = torch.arange(2 * B)
    assert nearest_neighbour(s[:1], v[:1], 2 * v[:1], known[:1], known[3:4], temperature=TAU).item() == 0
    # The queue has the features of the batch once, so that the neighbours are other features of the batch or queue.
    close = torch.cat([v, torch.tensor(unit(features(11)[1])) + 0.05])
    assert nearest_neighbour(s, v, close, known[:B], known, temperature=TAU).item() > 0
    assert nearest_neighbour(close[B:], v, close, known[:B], known, temperature=0.01).item() < 1e-3


def test_another_view_of_the_image_is_no_neighbour() -> None:
    s, v = (torch.tensor(x) for x in features(11))
    queue = torch.cat([v[:1] + 0.05, torch.tensor(features(12)[1])])  # another view of image 0, and other images
    of_queue, unknown = torch.arange(len(queue)) * 10, torch.full((len(queue),), -1)
    s, v, images = torch.cat([s[:1], s[:1]]), torch.cat([v[:1], -v[:1]]), torch.tensor([0, 1])

    def loss(kept: slice, numbers: torch.Tensor) -> float:
        return nearest_neighbour(s, v, queue[kept], images, numbers[kept], temperature=TAU).item()

    assert loss(slice(None), of_queue) == loss(slice(1, None), of_queue)
    assert loss(slice(None), unknown) != loss(slice(None), of_queue)  # a queue of an earlier release has no numbers


def test_a_mixture_has_no_neighbour_and_is_none() -> None:
    """It shows two images, of which its number can name one only."""
    s, v = (torch.tensor(x) for x in features(11))
    queue, images = torch.cat([v[:1] + 0.05, torch.tensor(features(12)[1])]), torch.tensor([0, 1])
    mixed = torch.tensor([0, MIXED_IMAGE])
    numbers = torch.arange(len(queue)) + 10
    numbers[1] = MIXED_IMAGE

    def loss(of_batch: torch.Tensor, kept: list[int] | slice = slice(None), rows: int = 2) -> float:
        return nearest_neighbour(
            s[:rows], v[:rows], queue[kept], of_batch[:rows], numbers[kept], temperature=TAU
        ).item()

    assert loss(images) == loss(images, [0, *range(2, len(queue))])
    assert loss(mixed) == loss(images, rows=1)
    assert loss(torch.full((2,), MIXED_IMAGE)) == 0
