"""Retrieval with embeddings: recall@1, 5 and 10, from an image to images and from a text to images.

Recall@k is the share of queries with at least one right image among the k nearest by cosine, as in metric learning
(Oh Song et al., arXiv:1511.06452). From image to image, the query's own image is left out of the gallery, and right is
an image of the same label. From text to image, a query is the text target of a label. The mean is over queries from
images, and over labels from texts.

Ties: of images of equal cosine, the one that comes first in the gallery is nearer, so that the figure does not depend
on how a sort treats them. Queries are compared in batches, because N x N numbers may not fit in memory.
An image with several labels is in the gallery once, and right for a query of any of its labels. N rows of images, each
with one label, G images, Q queries, K labels, D embedding width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from distill.data.counter_rng import Ints
from distill.evaluation.measured_images import evenly_spread

RANKS = (1, 5, 10)
MAX_QUERIES = 5_000
"""Image queries beyond this number are a part of all, spread evenly; the gallery has all images."""
ELEMENTS_AT_ONCE = 32_000_000

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Recall:
    """Recall at the `ranks` 1, 5 and 10. `chance`: of a gallery in random order."""

    ranks: tuple[int, ...]
    recall: tuple[float, ...]
    chance: tuple[float, ...]
    num_queries: int
    num_images: int


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """Both directions, of the images of one part; None if no query has a right image."""

    image_to_image: Recall | None
    text_to_image: Recall | None


def retrieval(
    features: Tensor, labels: Ints, targets: Tensor, label_subset: Sequence[int], image_numbers: Ints | None = None
) -> Retrieval:
    """Recall of image features (N, D) of `labels` (N,), indices of `targets` (K, D); both are normalised here.

    `label_subset`: the labels whose texts are queries; one without images is none. `image_numbers` (N,): equal for the
    rows of one image.
    """
    rows_of_features = F.normalize(features.float(), dim=-1)
    numbers = np.arange(len(labels)) if image_numbers is None else image_numbers
    gallery = _Gallery.of(rows_of_features, labels, numbers)
    images_of = np.bincount(labels, minlength=len(targets))
    rows = np.flatnonzero(images_of[labels] > 1)  # the others have no right image
    rows = rows[evenly_spread(len(rows), MAX_QUERIES)]
    subset = np.array([label for label in sorted(set(label_subset)) if images_of[label]], dtype=np.int64)
    texts = F.normalize(targets[torch.from_numpy(subset)].float(), dim=-1)
    return Retrieval(
        image_to_image=_recall(
            rows_of_features[torch.from_numpy(rows)], labels[rows], gallery, gallery.image_of_row[rows]
        ),
        text_to_image=_recall(texts, subset, gallery, None),
    )


@dataclass(frozen=True, eq=False)
class _Gallery:
    """The images, in the order of their first rows: `features` (G, D). `labels`, `image_of_row` (N,): of the rows."""

    features: Tensor
    labels: Ints
    image_of_row: Ints

    @classmethod
    def of(cls, features: Tensor, labels: Ints, numbers: Ints) -> "_Gallery":
        """The gallery of rows, those of one image with equal `numbers`."""
        _, first, image = np.unique(numbers, return_index=True, return_inverse=True)
        order = np.argsort(first)
        return cls(features[torch.from_numpy(first[order])], labels, np.argsort(order)[image])

    def is_right(self, query_labels: Ints) -> Bools:
        """Whether each image has the label of each query, (Q, G)."""
        of_rows: Bools = query_labels[:, None] == self.labels
        if len(self.features) == len(self.labels):
            return of_rows  # each row is an image
        order = np.argsort(self.image_of_row, kind="stable")
        starts = np.searchsorted(self.image_of_row[order], np.arange(len(self.features)))
        return np.logical_or.reduceat(of_rows[:, order], starts, axis=1)


def _recall(queries: Tensor, query_labels: Ints, gallery: _Gallery, own: Ints | None) -> Recall | None:
    """`own` (Q,): the position of the image of each query in the gallery, from which it is left out."""
    num_images = len(gallery.features)
    size = max(1, ELEMENTS_AT_ONCE // max(1, len(gallery.labels)))
    nearer, chances = [], []
    for start in range(0, len(queries), size):
        at = slice(start, start + size)
        similarity = (queries[at] @ gallery.features.T).numpy()  # (q, G)
        is_right = gallery.is_right(query_labels[at])
        is_in_gallery = np.ones_like(is_right) if own is None else own[at, None] != np.arange(num_images)
        is_right &= is_in_gallery
        best = np.where(is_right, similarity, -np.inf).max(axis=1, keepdims=True)
        # The first right image among those of the best similarity.
        first = (is_right & (similarity == best)).argmax(axis=1)[:, None]
        comes_before = (similarity > best) | ((similarity == best) & (np.arange(num_images) < first))
        has_right = is_right.any(axis=1)
        nearer.append((comes_before & is_in_gallery).sum(axis=1)[has_right])
        num_right, num_all = is_right.sum(axis=1)[has_right], is_in_gallery.sum(axis=1)[has_right]
        chances.append(np.stack([_chance(num_right, num_all, rank) for rank in RANKS]))
    ranks = np.concatenate(nearer) if nearer else np.zeros(0, dtype=np.int64)
    if not len(ranks):
        return None
    return Recall(
        ranks=RANKS,
        recall=tuple(float((ranks < rank).mean()) for rank in RANKS),
        chance=tuple(float(value) for value in np.concatenate(chances, axis=1).mean(axis=1)),
        num_queries=len(ranks),
        num_images=num_images,
    )


def _chance(num_right: Ints, num_all: Ints, rank: int) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """The probability of at least one of `num_right` images among `rank` random ones of `num_all`."""
    wrong = (num_all - num_right).astype(np.float64)
    missed = np.ones(len(num_right))
    for drawn in range(rank):
        left = np.maximum(num_all - drawn, 1)
        missed *= np.clip((wrong - drawn) / left, 0, 1)
    return 1 - missed
