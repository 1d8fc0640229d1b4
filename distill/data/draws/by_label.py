"""How often the images of each label are used: uniform, square-root and class-balanced sampling (arXiv:1910.09217).

A pass has as many draws as usable images, so that an epoch has the same number of steps. Under `balanced` each label
has the same share of the draws, under `square_root` a share in proportion to the root of its number of images. The
images of a label take turns: no image is drawn again before the others of its label, and the draws of a label are
spread over the pass, so that batches are balanced too. Everything is a function of the seed and the pass.
M usable images, C labels that have images.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from distill.config.train_config import Sampling
from distill.data.counter_rng import Ints, random_words, uniform

_POWERS: dict[Sampling, float] = {"uniform": 1.0, "square_root": 0.5, "balanced": 0.0}
_SHARES, _TURNS, _PLACES = 0xB0, 0xB1, 0xB2  # RNG keys that separate these samples from the shuffles of the passes


class Draws(NamedTuple):
    """The rows (M,) of a pass in order, and `turns` (M,): how often each was drawn before, which selects its view."""

    rows: Ints
    turns: Ints


def draw_by_label(rows: Ints, labels: Ints, sampling: Sampling, *, seed: int, pass_index: int) -> Draws:
    """The draws of a pass over `rows` (M,), whose labels are `labels` (M,)."""
    _, of_row, counts = np.unique(labels, return_inverse=True, return_counts=True)
    expected = len(rows) * counts ** _POWERS[sampling] / (counts ** _POWERS[sampling]).sum()  # (C,)
    quotas = _quotas(expected, len(rows), seed, pass_index)
    # Draw t of a label is its image number t % count in its order number t // count; a pass has its own range of t.
    first = pass_index * np.ceil(expected).astype(np.int64)
    last = first + quotas - 1
    first_turn, num_turns = first // counts, last // counts - first // counts + 1
    num_turns[quotas == 0] = 0
    repeats = num_turns[of_row]
    image = np.repeat(np.arange(len(rows)), repeats)
    label = of_row[image]
    within = np.arange(len(image)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    turn = first_turn[label] + within
    order = np.lexsort((random_words(seed, turn, rows[image], _TURNS), turn, label))
    image, label, turn = image[order], label[order], turn[order]
    # Position of each entry in the sequence of its label: its whole turns, and its place within the turn.
    starts = np.cumsum(np.bincount(label, minlength=len(counts))) - np.bincount(label, minlength=len(counts))
    draw = first_turn[label] * counts[label] + np.arange(len(label)) - starts[label]
    chosen = (draw >= first[label]) & (draw <= last[label])
    image, label, turn, draw = image[chosen], label[chosen], turn[chosen], draw[chosen]
    jitter = uniform(seed, pass_index, label, draw, _PLACES)
    place = np.lexsort((draw, (draw - first[label] + jitter) / quotas[label]))
    return Draws(rows[image[place]], turn[place])


def _quotas(expected: npt.NDArray[np.float64], total: int, seed: int, pass_index: int) -> Ints:
    """Whole numbers (C,) that sum to `total`, each the `expected` one rounded up or down at random (systematic)."""
    bounds = np.cumsum(expected)
    bounds[-1] = total
    offset = float(uniform(seed, pass_index, _SHARES))
    return np.diff(np.floor(bounds + offset), prepend=0.0).astype(np.int64)
