"""Text margins: decreases, and the most confusable pairs."""

import numpy as np
import pytest

from attributes.gates.margins import Margins
from attributes.types import Label

MARGINS = Margins(
    before=np.array([0.3, 0.3, 0.5], np.float32),
    after=np.array([0.2, 0.4, 0.500001], np.float32),
    nearest_before=np.array([1, 0, 0]),
    nearest_after=np.array([1, 0, 0]),
    teacher="toy",
)


def test_a_loss_is_the_decrease_of_the_margin() -> None:
    assert [MARGINS.loss(position) for position in range(3)] == [pytest.approx(0.1), 0.0, 0.0]


def test_details_list_each_confusable_pair_once() -> None:
    details = MARGINS.details([Label("crane"), Label("heron"), Label("stork", "bird")])
    assert [pair["labels"] for pair in details["most_confusable"]] == [["crane", "heron"], ["crane", "stork (bird)"]]
    assert details["least_after"] == pytest.approx(0.2)
