"""The positions of equal values, in blocks, as a sort of the whole gives them."""

import numpy as np
import pytest

from distill.data.dataset import grouping
from distill.data.dataset.grouping import positions_of_values


@pytest.mark.parametrize("num_values", [0, 1, 2, 500])
def test_positions_as_a_sort_gives_them(num_values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "_BLOCK", 7)  # values lie in many blocks
    values = np.random.default_rng(num_values).integers(-1, 20, num_values, dtype=np.int32)
    found = positions_of_values(values)
    assert list(found) == np.unique(values).tolist()
    for value, positions in found.items():
        assert positions.tolist() == np.flatnonzero(values == value).tolist()
        assert positions.dtype == np.int32
