"""Text margins: the distance of a label's text to the nearest other label's, in a teacher's text features.

Measured before (with names only) and after (with the set's attributes). `distill.texts.separation` computes the arrays;
this package does not import torch. K labels; a margin is 1 - cosine: 0..2.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attributes.json_types import JSONObject
from attributes.types import Label

TOLERANCE = 1e-5  # float32 cosines of the same texts differ by less between batch sizes
MOST_CONFUSABLE = 20


@dataclass(frozen=True, kw_only=True)
class Margins:
    """Margins (K,) with names only and with the set, and the nearest other label's position (K,) in each case."""

    before: NDArray[np.float32]
    after: NDArray[np.float32]
    nearest_before: NDArray[np.int64]
    nearest_after: NDArray[np.int64]
    teacher: str

    def loss(self, position: int) -> float:
        """The decrease of the label's margin from `before` to `after`; 0 if it has not decreased."""
        loss = float(self.before[position] - self.after[position])
        return loss if loss > TOLERANCE else 0.0

    def details(self, labels: Sequence[Label]) -> JSONObject:
        """Mean and minimum margins, and the most confusable pairs with the set's attributes, as JSON."""
        return {
            "mean_before": float(self.before.mean()),
            "mean_after": float(self.after.mean()),
            "least_before": float(self.before.min()),
            "least_after": float(self.after.min()),
            "most_confusable": [
                {
                    "labels": [str(labels[one]), str(labels[other])],
                    "positions": [one, other],
                    "margin": float(self.after[one]),
                }
                for one, other in self._pairs()
            ],
        }

    def _pairs(self) -> list[tuple[int, int]]:
        """Distinct pairs of nearest labels, the smallest margin first."""
        pairs: dict[tuple[int, int], None] = {}
        for position in np.argsort(self.after, kind="stable").tolist():
            nearest = int(self.nearest_after[position])
            pairs.setdefault((min(position, nearest), max(position, nearest)))
            if len(pairs) == MOST_CONFUSABLE:
                break
        return list(pairs)
