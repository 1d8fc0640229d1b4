"""Groups of images that show the same picture: exact duplicates by content, near duplicates by their thumbnails.

Near duplicates are copies that were saved again, scaled, brightened or converted: their 16 x 16 thumbnails, each
around its own mean luma, differ by less than 15% of their contrast (root mean square). Up to `COMPARE_ALL` images are
compared with each other. Of more, only those are compared that agree in one band of a hash, whose bits say on which
side of random planes through the main components of the thumbnails an image lies (locality-sensitive hashing); sorting
finds the images that agree. This finds nearly all copies, in O(N log N).

Images with little contrast, such as blank pages, would all look the same and are not compared. Where more than
`MAX_NEIGHBOURS` images agree in a band, each is compared only with the next ones in order of brightness. Aligned images
of one kind, such as X-rays, can look like near duplicates at this size. N images. Imports no torch.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from distill.data.dataset_check.inspection import THUMBNAIL_PX, Bytes, ImageFacts

MAX_RELATIVE_DIFFERENCE = 0.15
MIN_CONTRAST = 4.0
"""Standard deviation of the luma, of 255, below which an image is plain."""
COMPARE_ALL = 16_384
MAX_NEIGHBOURS = 512
_LUMA = THUMBNAIL_PX**2
_NEUTRAL = 128  # chroma of grey
_NUM_BANDS = 6
_NUM_COMPONENTS = 48
_SAMPLE = 65_536
_ROWS_AT_ONCE = 65_536
_PAIRS_AT_ONCE = 1_000_000

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Group = tuple[int, ...]
"""Rows of images of the same picture, ascending."""


class NearDuplicates(NamedTuple):
    """`groups` with at least two contents. `num_plain`: images not compared because they have too little contrast;
    `num_not_compared`: images that agree in a band with more images than they were compared with."""

    groups: list[Group]
    num_plain: int
    num_not_compared: int


def exact_duplicates(facts: ImageFacts) -> list[Group]:
    """Groups of at least two readable files with the same content, by their first row."""
    rows = np.flatnonzero(facts.readable)
    _, inverse = np.unique(_contents(facts, rows), return_inverse=True)
    return _groups(rows, inverse)


def near_duplicates(facts: ImageFacts) -> NearDuplicates:
    """Groups of readable files that look the same; each group has at least two contents. By their first row."""
    rows = np.flatnonzero(facts.readable)
    _, first, inverse = np.unique(_contents(facts, rows), return_index=True, return_inverse=True)
    thumbnails = facts.thumbnails[rows[first]]  # of each content
    contrast = _contrast(thumbnails)
    vivid = np.flatnonzero(contrast >= MIN_CONTRAST)
    of_vivid, num_not_compared = _similar(thumbnails[vivid], contrast[vivid])
    component = np.arange(len(first))
    component[vivid] = vivid[of_vivid]
    is_similar = np.bincount(component, minlength=len(first))[component] > 1  # to another content
    in_group = is_similar[inverse]
    groups = _groups(rows[in_group], component[inverse[in_group]])
    return NearDuplicates(groups, int((contrast < MIN_CONTRAST)[inverse].sum()), num_not_compared)


def _contents(facts: ImageFacts, rows: Ints) -> npt.NDArray[np.void]:
    return np.ascontiguousarray(facts.digests[rows]).view(np.dtype((np.void, facts.digests.shape[1]))).reshape(-1)


def _groups(rows: Ints, keys: Ints) -> list[Group]:
    """The rows that share a key, of each key with at least two rows."""
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    groups = [tuple(sorted(group.tolist())) for group in np.split(rows[order], starts[1:]) if len(group) > 1]
    return sorted(groups)


def _contrast(thumbnails: Bytes) -> Floats:
    """Standard deviation of the luma (N,)."""
    blocks = [block[:, :_LUMA].std(axis=1, dtype=np.float32) for block in _blocks(thumbnails)]
    return np.concatenate([np.zeros(0, np.float32), *blocks])


def _blocks(thumbnails: Bytes) -> Iterator[Bytes]:
    """Parts of a large array, because arithmetic takes several times its memory."""
    return (thumbnails[start : start + _ROWS_AT_ONCE] for start in range(0, len(thumbnails), _ROWS_AT_ONCE))


def _around_mean(thumbnails: Bytes) -> Floats:
    """The thumbnails (N, 288) with luma around its mean, so that a brighter copy looks the same."""
    values = thumbnails.astype(np.float32)
    values[:, :_LUMA] -= values[:, :_LUMA].mean(axis=1, keepdims=True)
    values[:, _LUMA:] -= _NEUTRAL
    return values


def _similar(thumbnails: Bytes, contrast: Floats) -> tuple[Ints, int]:
    """The component (N,) of each thumbnail, connected by pairs that look the same, named by its first member; and the
    number of thumbnails that were not compared with all others.

    Pairs are not kept, and those of one component are not compared: of aligned images there are millions.
    """
    crowded = np.zeros(len(thumbnails), dtype=np.bool_)
    component: Ints = np.arange(len(thumbnails))
    is_small = len(thumbnails) <= COMPARE_ALL
    for left, right in _all_close(thumbnails, contrast) if is_small else _hashed(thumbnails, contrast, crowded):
        for start in range(0, len(left), _ROWS_AT_ONCE):
            one, other = left[start : start + _ROWS_AT_ONCE], right[start : start + _ROWS_AT_ONCE]
            apart = component[one] != component[other]
            one, other = one[apart], other[apart]
            same = _look_the_same(thumbnails, contrast, one, other)
            _join(component, one[same], other[same])
    return component, int(crowded.sum())


def _look_the_same(thumbnails: Bytes, contrast: Floats, left: Ints, right: Ints) -> Bools:
    difference = _around_mean(thumbnails[left]) - _around_mean(thumbnails[right])
    rms = np.sqrt(np.square(difference).mean(axis=1))
    same: Bools = rms < MAX_RELATIVE_DIFFERENCE * np.minimum(contrast[left], contrast[right])
    return same


def _all_close(thumbnails: Bytes, contrast: Floats) -> Iterator[tuple[Ints, Ints]]:
    """All pairs whose squared distance, from their scalar products, may be below the limit."""
    values = _around_mean(thumbnails)
    squares = np.square(values).sum(axis=1)
    limits = 1.1 * np.square(MAX_RELATIVE_DIFFERENCE * contrast) * values.shape[1] + 10.0  # for rounding
    for start in range(0, len(values), 1024):
        rows = slice(start, start + 1024)
        distances = squares[rows, None] + squares[None, start:] - 2 * values[rows] @ values[start:].T
        left, right = np.nonzero(distances < limits[rows, None])
        later = right > left
        yield left[later] + start, right[later] + start


def _hashed(thumbnails: Bytes, contrast: Floats, crowded: Bools) -> Iterator[tuple[Ints, Ints]]:
    """Pairs that agree in a band of their hashes; marks in `crowded` what was not compared with all of them."""
    bits_of_band = int(np.log2(len(thumbnails))) + 8  # so that unrelated images seldom agree in a band
    bits = _hash_bits(thumbnails, contrast, _NUM_BANDS * bits_of_band)
    brightness = thumbnails[:, :_LUMA].mean(axis=1, dtype=np.float32)
    for band in np.split(bits, _NUM_BANDS, axis=1):
        yield from _neighbours(band @ (1 << np.arange(bits_of_band, dtype=np.int64)), brightness, crowded)


def _hash_bits(thumbnails: Bytes, contrast: Floats, num_bits: int) -> Bools:
    """Bits (N, num_bits): the sides of random planes that halve a sample of the thumbnails of equal contrast."""
    step = -(-len(thumbnails) // _SAMPLE)
    sample = _around_mean(thumbnails[::step]) / contrast[::step, None]
    components = np.linalg.eigh(np.cov(sample, rowvar=False))[1][:, -_NUM_COMPONENTS:]
    normals = np.random.default_rng(0).normal(size=(_NUM_COMPONENTS, num_bits))
    planes = (components @ normals).astype(np.float32)
    middle = np.median(sample @ planes, axis=0)
    scales = np.split(contrast, range(_ROWS_AT_ONCE, len(contrast), _ROWS_AT_ONCE))
    blocks = zip(_blocks(thumbnails), scales, strict=True)
    return np.concatenate([_around_mean(block) / scale[:, None] @ planes > middle for block, scale in blocks])


def _neighbours(keys: Ints, brightness: Floats, crowded: Bools) -> Iterator[tuple[Ints, Ints]]:
    """Pairs with equal keys, at most `MAX_NEIGHBOURS` for each image."""
    order = np.lexsort((brightness, keys))
    ordered = keys[order]
    at = np.arange(len(order))
    for distance in range(1, MAX_NEIGHBOURS + 1):
        at = at[at < len(order) - distance]
        at = at[ordered[at] == ordered[at + distance]]  # equal keys are neighbours: the others have no further ones
        if len(at) == 0:
            return
        for part in np.array_split(at, 1 + len(at) // _PAIRS_AT_ONCE):
            first, second = order[part], order[part + distance]
            yield np.minimum(first, second), np.maximum(first, second)
    crowded[order[at]] = True


def _join(component: Ints, left: Ints, right: Ints) -> None:
    """Join the components of these pairs, in place; each member has the first member of its component."""
    while len(left):
        one, other = component[left], component[right]
        np.minimum.at(component, np.maximum(one, other), np.minimum(one, other))
        while not np.array_equal(component, of_first := component[component]):
            component[:] = of_first
        apart = component[left] != component[right]
        left, right = left[apart], right[apart]
