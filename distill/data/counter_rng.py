"""Counter-based random numbers: every random choice of a run is a pure function of the seed and of its keys.

No generator state exists, so none has to be saved to resume a run exactly: the crop of image 17 in pass 3 does not
depend on earlier samples. The numbers are splitmix64 (Steele, Lea & Flood 2014), applied key by key.
"""

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]


def _splitmix64(words: Words) -> Words:
    with np.errstate(over="ignore"):
        words = words + np.uint64(0x9E3779B97F4A7C15)
        words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return words ^ (words >> np.uint64(31))


def random_words(*keys: int | Ints) -> Words:
    """64 random bits for each combination of keys (integers or arrays that broadcast); equal keys give equal bits."""
    state = np.zeros((), dtype=np.uint64)
    for key in keys:
        state = _splitmix64(state ^ _splitmix64(np.asarray(key).astype(np.uint64)))
    return state


def uniform(*keys: int | Ints) -> npt.NDArray[np.float64]:
    """A number in [0, 1) for each combination of keys."""
    return (random_words(*keys) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def shuffled(rows: Ints, *keys: int) -> Ints:
    """A deterministic shuffle of `rows`, keyed by `keys` and the values of `rows`."""
    return rows[np.argsort(random_words(*keys, rows), kind="stable")]


def shuffled_in_windows(rows: Ints, blocks: Ints, window_blocks: int, *keys: int) -> Ints:
    """A deterministic shuffle of `rows` that reads at most `window_blocks` blocks at a time.

    `blocks`: the block of each row, numbered from 0; the rows of one block are adjacent on disk. The blocks are
    shuffled, and then the rows within each window of `window_blocks` blocks.
    """
    shuffled_blocks = shuffled(np.unique(blocks), *keys)
    window = np.zeros(int(shuffled_blocks.max(initial=0)) + 1, dtype=np.int64)
    window[shuffled_blocks] = np.arange(len(shuffled_blocks)) // window_blocks
    return rows[np.lexsort((random_words(*keys, rows), window[blocks]))]
