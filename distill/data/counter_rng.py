"""Chance as a pure function: every random choice of a run comes from its seed and what the choice is about.

Nothing is drawn from a stream, so that no state need be saved for a run to go on exactly: the crop of image 17 in pass
3 is what it is, whatever was drawn before. Numbers come from splitmix64 (Steele, Lea & Flood 2014), mixed key by key.
"""

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]


def _mixed(random_words: Words) -> Words:
    with np.errstate(over="ignore"):
        random_words = random_words + np.uint64(0x9E3779B97F4A7C15)
        random_words = (random_words ^ (random_words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        random_words = (random_words ^ (random_words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return random_words ^ (random_words >> np.uint64(31))


def random_words(*keys: int | Ints) -> Words:
    """64 random bits for each combination of keys (integers, or arrays that broadcast); equal keys, equal bits."""
    state = np.zeros((), dtype=np.uint64)
    for key in keys:
        state = _mixed(state ^ _mixed(np.asarray(key).astype(np.uint64)))
    return state


def uniform(*keys: int | Ints) -> npt.NDArray[np.float64]:
    """A number in [0, 1) for each combination of keys."""
    return (random_words(*keys) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def shuffled_in_windows(rows: Ints, blocks: Ints, at_once: int, *keys: int) -> Ints:
    """The rows in an order in which no more than `at_once` blocks are gone through at a time.

    `blocks`: of each row, numbered from 0; rows that lie together on disk. The blocks come in an order of the keys'
    own, and the rows of each `at_once` of them are shuffled among themselves.
    """
    numbers = shuffled(np.unique(blocks), *keys)
    window = np.zeros(int(numbers.max(initial=0)) + 1, dtype=np.int64)
    window[numbers] = np.arange(len(numbers)) // at_once
    return rows[np.lexsort((random_words(*keys, rows), window[blocks]))]


def shuffled(rows: Ints, *keys: int) -> Ints:
    """The rows in an order that hangs on the keys and on which rows there are."""
    return rows[np.argsort(random_words(*keys, rows), kind="stable")]
