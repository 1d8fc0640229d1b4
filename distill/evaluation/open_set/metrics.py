"""How well a score tells images of known labels from images of unknown ones.

    AUROC     share of pairs of a known and an unknown image in which the known one has the larger score; a tie is half
    FPR95     share of unknown images that are accepted at the largest threshold that accepts 95% of the known ones
    OSCR      area under the correct classification rate of known images over the share of accepted unknown ones, over
              all thresholds (Dhamija et al., arXiv:1811.04110; the area as in Vaze et al., arXiv:2110.06207)
    H-score   harmonic mean of the accuracy on known images, where a rejection is an error, and the share of unknown
              images that are rejected, at one threshold (Fu et al. 2020; HOS of Bucci et al., arXiv:2007.12360)

The larger the score, the more surely known; an image is accepted if its score is at least the threshold.
N known images, U unknown images.
"""

import math

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
RECALL = 0.95


def auroc(known: Scores, unknown: Scores) -> float:
    """The area under the ROC curve: known images are the positives."""
    below, not_above = (np.searchsorted(np.sort(unknown), known, side) for side in ("left", "right"))
    return float((below + not_above).sum() / (2 * len(known) * len(unknown)))


def fpr_at_recall(known: Scores, unknown: Scores, recall: float = RECALL) -> float:
    """The share of unknown images that are accepted when at least `recall` of the known ones are."""
    num_accepted = math.ceil(recall * len(known) - 1e-9)
    threshold = np.sort(known)[len(known) - num_accepted]
    return float((unknown >= threshold).mean())


def oscr(known: Scores, is_correct: Bools, unknown: Scores) -> float:
    """The area under the correct classification rate over the false positive rate. `is_correct` (N,): of the labels.

    Images of equal score are accepted together, so that their order does not matter; between two thresholds the curve
    is a straight line.
    """
    thresholds = np.unique(np.concatenate([known, unknown]))[::-1]
    correct = np.sort(known[is_correct])
    sorted_unknown = np.sort(unknown)
    ccr = (len(correct) - np.searchsorted(correct, thresholds, "left")) / len(known)
    fpr = (len(unknown) - np.searchsorted(sorted_unknown, thresholds, "left")) / len(unknown)
    return float(np.trapezoid(np.concatenate([[0.0], ccr]), np.concatenate([[0.0], fpr])))


def h_score(known_accuracy: float, rejected_share: float) -> float:
    """The harmonic mean of the accuracy on known images and the share of rejected unknown ones; 0 if one of them is."""
    total = known_accuracy + rejected_share
    return 2 * known_accuracy * rejected_share / total if total else 0.0
