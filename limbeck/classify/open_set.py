"""Open-set scores of images by numpy: the larger, the more surely an image shows a label of the student.

The same formulas as `distill.evaluation.open_set.scores`, which uses torch. B images, K labels, M look-alikes.
"""

import numpy as np
import numpy.typing as npt

from limbeck.shared.bundle.open_set import OUTLIER_WEIGHT, OpenSetScore

Floats = npt.NDArray[np.float32]


def open_set_score(score: OpenSetScore, cosines: Floats, outlier_cosines: Floats | None, temperature: float) -> Floats:
    """The score (B,) of images by their `cosines` (B, K) with labels and (B, M) with look-alikes.

    Raises ValueError for the score `outliers` without look-alikes.
    """
    best: Floats = cosines.max(axis=1)
    if score == "cosine":
        return best
    if score == "energy":
        sums = np.exp((cosines - best[:, None]).astype(np.float64) / temperature).sum(axis=1)
        energy: Floats = (best + temperature * np.log(sums)).astype(np.float32)
        return energy
    if outlier_cosines is None:
        raise ValueError("the score outliers needs look-alikes")
    largest = np.maximum(best, outlier_cosines.max(axis=1))[:, None]
    known, others = (
        np.exp((part - largest).astype(np.float64) / temperature) for part in (cosines, outlier_cosines)
    )  # (B, K), (B, M)
    share = known.max(axis=1) - OUTLIER_WEIGHT * others.max(axis=1)
    outliers: Floats = (share / (known.sum(axis=1) + others.sum(axis=1))).astype(np.float32)
    return outliers
