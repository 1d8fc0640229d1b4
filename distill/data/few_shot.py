"""Few-shot: the first images of every unseen label come to be known, and leave the test set (arXiv:2307.03135).

`support_rows` says which they are. For fine-tuning, every batch is half such images, drawn without replacement within the
batch, where there are more of them than half a batch; else it holds them all and is filled up with the others. All of
it is a function of the seed and the step. B images of a batch, S few-shot images, R others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from distill.data.counter_rng import Ints, shuffled
from distill.data.image_index import ImageIndex

_FEW_SHOT = 0x5E  # keeps these draws apart from those of the passes


class FewShotError(ValueError):
    """More shots than there are images; the message names the labels."""


def support_rows(image_index: ImageIndex, shots: int) -> list[int]:
    """Positions of the first `shots` images of every OOD label, in the manifest's order.

    Raises ShotsError where a label has no image left to be tested on, and where there is no OOD label.
    """
    if not image_index.ood_labels:
        raise FewShotError("no label is left unseen: few-shot learning is of labels that were not trained on")
    by_label: dict[int, list[int]] = {label: [] for label in image_index.ood_labels}
    for at in image_index.part("ood"):
        by_label[image_index.label_indices[at]].append(at)
    few = [(label, rows) for label, rows in by_label.items() if len(rows) <= shots]
    if few:
        named = ", ".join(f'"{image_index.labels[label]}" has {len(rows)}' for label, rows in few[:5])
        more = f" and {len(few) - 5} labels more" if len(few) > 5 else ""
        raise FewShotError(f"{shots} shots and an image to test on are wanted of each unseen label; {named}{more}")
    return sorted(at for rows in by_label.values() for at in rows[:shots])


@dataclass(frozen=True, kw_only=True)
class BatchSplit:
    """What a batch is made of: `few` few-shot images and `others`."""

    few: int
    others: int


def split_batch(batch_size: int, num_few: int, num_others: int, parts: int = 1) -> BatchSplit:
    """How a batch of at most `batch_size`, a multiple of `parts`, is divided; there must be others."""
    few = batch_size // 2 if num_few > batch_size // 2 else num_few
    whole = (few + min(batch_size - few, num_others)) // parts * parts
    few = min(few, whole - 1)
    return BatchSplit(few=few, others=whole - few)


def few_shot_rows(few: Ints, others: Ints, parts: BatchSplit, *, place: int, seed: int, step: int) -> Ints:
    """The rows of a batch: a slice, the `place`-th, of `others` (R,) in the pass's order, and a draw of `few` (S,)."""
    drawn = shuffled(few, seed, step, _FEW_SHOT)[: parts.few]
    filled = others[place * parts.others : (place + 1) * parts.others]
    return shuffled(np.concatenate([drawn, filled]), seed, step, _FEW_SHOT + 1)


def exclude_rows(rows: Sequence[int], left_out: Sequence[int]) -> list[int]:
    """The rows that are not left out, in their order."""
    gone = set(left_out)
    return [at for at in rows if at not in gone]
