"""Accuracy on the training images, as the code of arXiv:2307.03135 logs it: of the student as it was at each step.

Counted over a pass in training mode, on augmented views, and averaged over labels. It costs no forward pass; compared
with the accuracy on held-out images it shows overfitting. K labels, B images of a step.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


class TrainAccuracy:
    """The counts of a pass. `counts`: those of a pass that was interrupted, from `counts()`."""

    def __init__(self, num_labels: int, device: torch.device, counts: Sequence[Sequence[int]] = ()) -> None:
        found = torch.tensor(counts, dtype=torch.int64) if counts else torch.zeros(2, num_labels, dtype=torch.int64)
        self._correct, self._seen = found.to(device).unbind()  # (K,) each

    def begin_pass(self) -> None:
        """Forget the counts."""
        self._correct.zero_()
        self._seen.zero_()

    def update(self, labels: Tensor, predicted: Tensor) -> None:
        """Count images with these `labels` (B,), for which the student gave `predicted` (B,)."""
        # Sums of whole numbers, which wait for no GPU and have one result in any order.
        self._seen.index_add_(0, labels, torch.ones_like(labels))
        self._correct.index_add_(0, labels, (labels == predicted).long())

    def mean(self) -> float | None:
        """The mean accuracy over the labels that had images, 0 to 1; None if nothing was counted."""
        seen = self._seen > 0
        return float((self._correct[seen] / self._seen[seen]).mean()) if seen.any() else None

    def counts(self) -> list[list[int]]:
        """The correct and all images of each label, (2, K)."""
        return [self._correct.tolist(), self._seen.tolist()]
