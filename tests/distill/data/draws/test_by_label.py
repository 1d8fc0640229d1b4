"""Sampling by label: shares of the labels, turns of the images, balanced batches, and reproducibility."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from distill.config.train_config import Sampling
from distill.data.draws.by_label import Draws, draw_by_label
from distill.training.loader import batches
from tests.distill.helpers_train import IMAGE_PX, small_config, small_data

COUNTS = (300, 60, 20, 3)  # a hundred to one
LABELS = np.repeat(np.arange(len(COUNTS), dtype=np.int64), COUNTS)
ROWS = 2 * np.arange(len(LABELS), dtype=np.int64) + 5


def draws(sampling: Sampling, pass_index: int = 0, seed: int = 1) -> Draws:
    return draw_by_label(ROWS, LABELS, sampling, seed=seed, pass_index=pass_index)


def labels_of(rows: np.ndarray) -> np.ndarray:
    return LABELS[(rows - 5) // 2]


@pytest.mark.parametrize(
    ("sampling", "shares"),
    [
        ("uniform", [count / sum(COUNTS) for count in COUNTS]),
        pytest.param(
            "balanced",
            [0.25] * 4,
            marks=pytest.mark.image_input(
                "Students", "labels with very different numbers of images", "`data.sampling` draws each label alike"
            ),
        ),
        ("square_root", [count**0.5 / sum(n**0.5 for n in COUNTS) for count in COUNTS]),
    ],
)
def test_each_label_has_its_share_of_every_pass(sampling: Sampling, shares: list[float]) -> None:
    totals = np.zeros(len(COUNTS))
    for pass_index in range(6):
        rows = draws(sampling, pass_index).rows
        assert len(rows) == len(ROWS)
        counts = np.bincount(labels_of(rows), minlength=len(COUNTS))
        np.testing.assert_allclose(counts, np.array(shares) * len(ROWS), atol=1)
        totals += counts
    np.testing.assert_allclose(totals / totals.sum(), shares, atol=2 / len(ROWS))


@pytest.mark.parametrize("sampling", ["balanced", "square_root"])
def test_images_of_a_label_take_turns(sampling: Sampling) -> None:
    """Over many passes the images of a label are drawn about equally often, and each draw of one has a new turn."""
    passes = [draws(sampling, pass_index) for pass_index in range(12)]
    rows, turns = (np.concatenate(column) for column in zip(*passes, strict=True))
    for label in range(len(COUNTS)):
        _, times = np.unique(rows[labels_of(rows) == label], return_counts=True)
        assert len(times) == COUNTS[label] or times.max() == 1
        assert times.max() - times.min() <= 4  # a draw is skipped where a share is rounded down
        _, in_one_pass = np.unique(passes[3].rows[labels_of(passes[3].rows) == label], return_counts=True)
        assert in_one_pass.max() - in_one_pass.min() <= 2
    assert len(np.unique(np.stack([rows, turns]), axis=1).T) == len(rows)


def test_batches_are_balanced_and_repetitions_far_apart() -> None:
    rows = draws("balanced").rows
    for start in range(0, len(rows) - 40, 40):
        counts = np.bincount(labels_of(rows[start : start + 40]), minlength=4)
        assert counts.min() >= 8
    where = np.flatnonzero(rows == ROWS[-1])
    assert min(b - a for a, b in pairwise(where.tolist())) >= 2
    assert np.diff(where).mean() == pytest.approx(4 * COUNTS[-1], rel=0.1)


def test_draws_depend_on_seed_and_pass_only() -> None:
    np.testing.assert_array_equal(draws("balanced", 2).rows, draws("balanced", 2).rows)
    assert (draws("balanced", 2).rows != draws("balanced", 3).rows).any()
    assert (draws("balanced", 2).rows != draws("balanced", 2, seed=2).rows).any()


def test_loader_uses_the_draws_with_a_view_for_each_turn() -> None:
    """An image that is drawn again in the same batch has another crop."""
    data = small_data(24, 2)
    labels = np.r_[np.zeros(22, dtype=np.int64), np.ones(2, dtype=np.int64)]
    data = replace(data, labels=labels)
    config = small_config(sampling="balanced", batch_size=12, epochs=2)
    read = list(batches(data, config, 0, torch.device("cpu")))
    assert len(read) == len(list(batches(data, small_config(batch_size=12, epochs=2), 0, read[0].labels.device))) == 4
    for batch in read:
        assert 5 <= int(batch.labels.sum()) <= 7
        boxes = {tuple(box) for box in batch.views.boxes[batch.labels.numpy() == 1].tolist()}
        assert len(boxes) >= 5
        assert batch.pixels.shape == (12, IMAGE_PX, IMAGE_PX, 3)
