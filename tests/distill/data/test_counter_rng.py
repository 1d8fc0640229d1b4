"""Counter-based random numbers: uniform, and shuffles that depend only on keys and rows."""

import numpy as np

from distill.data.counter_rng import random_words, shuffled, shuffled_in_windows, uniform


def test_numbers_are_uniform_and_keys_are_not_interchangeable() -> None:
    many = uniform(7, np.arange(100_000))
    assert np.histogram(many, bins=10, range=(0, 1))[0].min() > 9_600
    assert len(np.unique(random_words(np.arange(300)[:, None], np.arange(300)[None, :]))) == 300 * 300
    assert random_words(1, 2) != random_words(2, 1)


def test_shuffled_permutes_the_rows_by_keys() -> None:
    rows = np.arange(50, 150)
    one, two = shuffled(rows, 0, 0), shuffled(rows, 0, 1)
    assert sorted(one) == sorted(two) == rows.tolist()
    assert (one != two).sum() > 80
    np.testing.assert_array_equal(one, shuffled(rows, 0, 0))


def test_shuffled_in_windows_reads_a_few_blocks_at_a_time() -> None:
    rows = np.arange(1000, 2000)
    blocks = rows // 50 - 20  # 20 shards of 50
    order = shuffled_in_windows(rows, blocks, 4, 7, 0)
    assert sorted(order) == rows.tolist()
    for window in order.reshape(5, 200):
        assert len(np.unique(window // 50)) == 4
        assert len(np.unique(window[:50] // 50)) == 4
    assert (order != shuffled_in_windows(rows, blocks, 4, 7, 1)).mean() > 0.9
    np.testing.assert_array_equal(order, shuffled_in_windows(rows[::-1], blocks[::-1], 4, 7, 0))
    assert len(shuffled_in_windows(rows[:0], blocks[:0], 4, 7, 0)) == 0
    assert len(np.unique(shuffled(rows, 7, 0)[:200] // 50)) > 15
