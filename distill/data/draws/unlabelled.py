"""Unlabelled images in batches: a share of every batch, spread evenly over it (arXiv:2307.03135 trains without them).

The unlabelled images take turns: all are used once before any is used again, in an order shuffled for each turn. Their
draws are a function of the step. Loss terms that need a label use the other images of the batch only.
"""

from collections.abc import Callable

import numpy as np

from distill.config.batch_plan import num_unlabelled as num_unlabelled
from distill.data.draws.by_label import Draws


def draw_unlabelled(order_of_turn: Callable[[int], Draws], num_images: int, num_draws: int, step: int) -> Draws:
    """The unlabelled images of the batch of `step`. `order_of_turn`: the order of all `num_images` in a turn."""
    positions = np.arange(step * num_draws, (step + 1) * num_draws, dtype=np.int64)
    turns, places = np.divmod(positions, num_images)
    rows = np.concatenate([order_of_turn(int(turn)).rows[places[turns == turn]] for turn in np.unique(turns)])
    return Draws(rows, turns)


def spread(labelled: Draws, unlabelled: Draws) -> Draws:
    """Both in one order in which every stretch has the same share of each, so that the parts of a batch do too."""
    places = np.concatenate([_even_places(len(labelled.rows)), _even_places(len(unlabelled.rows))])
    order = np.argsort(places, kind="stable")
    rows, turns = (np.concatenate(pair)[order] for pair in zip(labelled, unlabelled, strict=True))
    return Draws(rows, turns)


def _even_places(count: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return (np.arange(count) + 0.5) / max(count, 1)
