"""Thresholds of "none of these" by other scores than the cosine, set and measured as in
`distill.evaluation.none_of_these`.

All labels of the vocabulary count as known, as for the cosine: the threshold is for `limbeck classify`, which compares
an image with all of them. N images, K labels, M outlier labels, D embedding width.
"""

from torch import Tensor

from distill.data.counter_rng import Ints
from distill.evaluation import none_of_these
from distill.evaluation.none_of_these import NoneOfThese
from distill.evaluation.open_set.scores import open_set_scores
from limbeck.shared.bundle.open_set import OpenSetScore


def thresholds_by_score(
    features: Tensor,
    targets: Tensor,
    image_numbers: Ints | None,
    *,
    temperature: float,
    outliers: Tensor | None = None,
) -> dict[OpenSetScore, NoneOfThese]:
    """The thresholds of `energy`, and of `outliers` with such labels; none for fewer than `MIN_IMAGES` images.

    `features` (N, D): of held-out images of seen labels; `targets` (K, D): of all labels; `outliers` (M, D).
    `image_numbers` (N,): equal for the rows of one image; None if each row is an image of its own.
    """
    features = none_of_these.one_row_each(features, image_numbers)
    if len(features) < none_of_these.MIN_IMAGES:
        return {}
    scores = open_set_scores(features, targets, temperature=temperature, outliers=outliers)
    return {name: none_of_these.measured_threshold(name, values) for name, values in scores.items() if name != "cosine"}
