"""Expected calibration error (ECE) and the bins of its reliability diagram (Guo et al. 2017, arXiv:1706.04599).

The confidence of an image is the largest softmax probability over labels at the stated temperature. Confidences are
sorted into equal-width bins. ECE = sum over bins of (n_b / N) |accuracy_b - confidence_b|. N images.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

NUM_BINS = 15


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Images with a confidence in (low, high]: their number, mean confidence and accuracy."""

    low: float
    high: float
    num_images: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """`error`: ECE, 0 to 1, over `num_bins` bins at `temperature`. `bins`: the bins that have images, ascending."""

    error: float
    num_bins: int
    temperature: float
    bins: tuple[Bin, ...]


def calibration(
    confidence: npt.NDArray[np.float64],
    correct: npt.NDArray[np.bool_],
    *,
    temperature: float,
    num_bins: int = NUM_BINS,
) -> Calibration:
    """Calibration of predictions with `confidence` (N,), 0 to 1, and `correct` (N,); N at least 1."""
    bin_index = np.clip(np.ceil(confidence * num_bins).astype(np.int64) - 1, 0, num_bins - 1)
    count = np.bincount(bin_index, minlength=num_bins)
    confidence_sum = np.bincount(bin_index, weights=confidence, minlength=num_bins)
    correct_sum = np.bincount(bin_index, weights=correct.astype(np.float64), minlength=num_bins)
    bins = tuple(
        Bin(
            low=index / num_bins,
            high=(index + 1) / num_bins,
            num_images=int(count[index]),
            confidence=float(confidence_sum[index] / count[index]),
            accuracy=float(correct_sum[index] / count[index]),
        )
        for index in np.flatnonzero(count).tolist()
    )
    error = float(np.abs(correct_sum - confidence_sum).sum() / len(confidence))
    return Calibration(error=error, num_bins=num_bins, temperature=temperature, bins=bins)
