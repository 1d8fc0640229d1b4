"""How far a label's text is from the nearest other one's, by a teacher's features: before (names) and after (the set).

The arrays come from `distill.texts.separation`; this room knows no torch. K labels; a margin is 1 - cosine, so 0..2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attributes.types import Label

TOLERANCE = 1e-5  # float32 cosines of the same texts, encoded in batches of other sizes, differ by less
MOST_CONFUSABLE = 20


@dataclass(frozen=True, kw_only=True)
class Margins:
    """Margins (K,) with names only and with the set, and each label's nearest other label (K,) in either."""

    before: NDArray[np.float32]
    after: NDArray[np.float32]
    nearest_before: NDArray[np.int64]
    nearest_after: NDArray[np.int64]
    teacher: str

    def loss(self, position: int) -> float:
        """By how much the label has come nearer to another one; 0 where it has not."""
        loss = float(self.before[position] - self.after[position])
        return loss if loss > TOLERANCE else 0.0

    def details(self, labels: Sequence[Label]) -> dict[str, Any]:
        """Means and least margins, and the pairs that are most easily confused with the set."""
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
        """Nearest pairs, each once, the least margin first."""
        pairs: dict[tuple[int, int], None] = {}
        for one in np.argsort(self.after, kind="stable").tolist():
            other = int(self.nearest_after[one])
            pairs.setdefault((min(one, other), max(one, other)))
            if len(pairs) == MOST_CONFUSABLE:
                break
        return list(pairs)
