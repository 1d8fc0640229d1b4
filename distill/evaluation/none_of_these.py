""" "None of these": the cosine below which an image is of no label.

An image whose largest cosine to all text targets is below the threshold is none of the labels. The threshold is the
largest that calls at most `TARGET_RATE` of the held-out images of seen labels none, although each has a label. That
share would be too small as an estimate for new images, because the threshold was chosen on the same images. The stated
rate is cross-fitted instead: every second image is judged by the threshold of the others, and the reverse. The
thresholds of other scores (`distill.evaluation.open_set.thresholds`) are set and measured in the same way.
N images, K labels, D embedding width.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from distill.data.counter_rng import Ints
from limbeck.shared.bundle.open_set import OpenSetScore

TARGET_RATE = 0.05
MIN_IMAGES = 20
"""With fewer images, the rate would be unknown within tens of percent."""
ELEMENTS_AT_ONCE = 32_000_000

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class NoneOfThese:
    """An image with a `score` below `threshold` is of no label. `num_images`: held-out images of seen labels.

    `false_alarm_rate`: measured share of images of a label that are called none; `target_rate`: the share aimed at.
    """

    score: OpenSetScore = "cosine"
    threshold: float
    false_alarm_rate: float
    target_rate: float
    num_images: int


def none_of_these(features: Tensor, targets: Tensor, image_numbers: Ints | None = None) -> NoneOfThese | None:
    """The threshold by held-out images of seen labels; None for fewer than `MIN_IMAGES`.

    `features` (N, D) and `targets` (K, D), of all labels, are normalised here. `image_numbers` (N,): equal for the rows
    of one image; None if each row is an image of its own.
    """
    features = one_row_each(features, image_numbers)
    if len(features) < MIN_IMAGES:
        return None
    return measured_threshold("cosine", _largest_cosines(features, targets))


def one_row_each(features: Tensor, image_numbers: Ints | None) -> Tensor:
    """The first row of each image."""
    if image_numbers is None:
        return features
    _, first = np.unique(image_numbers, return_index=True)
    return features[torch.from_numpy(np.sort(first))]


def measured_threshold(score: OpenSetScore, scores: npt.NDArray[np.floating]) -> NoneOfThese:
    """The threshold of a score by its values (N,) for held-out images of seen labels, with its cross-fitted rate."""
    even, odd = scores[::2], scores[1::2]
    num_false = np.count_nonzero(odd < threshold_of(even)) + np.count_nonzero(even < threshold_of(odd))
    return NoneOfThese(
        score=score,
        threshold=threshold_of(scores),
        false_alarm_rate=num_false / len(scores),
        target_rate=TARGET_RATE,
        num_images=len(scores),
    )


def threshold_of(scores: npt.NDArray[np.floating]) -> float:
    """The largest of the scores (N,) that at most the share `TARGET_RATE` of them is below."""
    return float(np.sort(scores)[int(TARGET_RATE * len(scores))])


def _largest_cosines(features: Tensor, targets: Tensor) -> Scores:
    """The largest cosine (N,) of each image to a text, in batches because N x K numbers may not fit in memory."""
    texts = F.normalize(targets.float(), dim=-1)
    size = max(1, ELEMENTS_AT_ONCE // len(texts))
    batches = [
        (F.normalize(features[start : start + size].float(), dim=-1) @ texts.T).max(dim=1).values
        for start in range(0, len(features), size)
    ]
    largest: Scores = torch.cat(batches).numpy()
    return largest
