"""Whether a student is as sure as it is right: expected calibration error and the reliability behind it.

The confidence of an image is the softmax of its best label at the temperature named with the figure. Confidences are
sorted into equal-width bins; the error is the mean over images of |accuracy - confidence| of their bin (Guo et al.
2017, arXiv:1706.04599). N images, M bins.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

NUM_BINS = 15


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Images whose confidence lies in (low, high]: how many, and the means of their confidence and of being right."""

    low: float
    high: float
    num_images: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """`error` in 0..1 over `num_bins` equal bins, at `temperature`; `bins`: those that have images, ascending."""

    error: float
    num_bins: int
    temperature: float
    bins: tuple[Bin, ...]


def calibration(
    confidence: npt.NDArray[np.float64],
    right: npt.NDArray[np.bool_],
    *,
    temperature: float,
    num_bins: int = NUM_BINS,
) -> Calibration:
    """Of `confidence` (N,) in 0..1 and `right` (N,), N at least 1."""
    place = np.clip(np.ceil(confidence * num_bins).astype(np.int64) - 1, 0, num_bins - 1)
    count = np.bincount(place, minlength=num_bins)
    confident = np.bincount(place, weights=confidence, minlength=num_bins)
    correct = np.bincount(place, weights=right.astype(np.float64), minlength=num_bins)
    bins = tuple(
        Bin(
            low=at / num_bins,
            high=(at + 1) / num_bins,
            num_images=int(count[at]),
            confidence=float(confident[at] / count[at]),
            accuracy=float(correct[at] / count[at]),
        )
        for at in np.flatnonzero(count).tolist()
    )
    error = float(np.abs(correct - confident).sum() / len(confidence))
    return Calibration(error=error, num_bins=num_bins, temperature=temperature, bins=bins)
