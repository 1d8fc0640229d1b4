"""Few-shot: the first images of each OOD label become training images and leave the test set (arXiv:2307.03135).

`support_rows` selects them. In fine-tuning, half of every batch is few-shot images, sampled without replacement within
the batch; if there are at most half a batch of them, every batch holds all of them and is filled with other images.
The selection is a function of the seed and the step. B images in a batch, S few-shot images, R other images.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from distill.config.batch_plan import BatchSplit as BatchSplit
from distill.config.batch_plan import split_batch as split_batch
from distill.data.counter_rng import Ints, shuffled
from distill.data.image_index import ImageIndex
from limbeck.shared.text import counted

_FEW_SHOT = 0x5E  # RNG key that separates these samples from the shuffles of the passes


class FewShotError(ValueError):
    """Too few images for the requested shots; the message names the labels."""


def support_rows(image_index: ImageIndex, shots: int) -> list[int]:
    """Positions of the first `shots` images of each OOD label, in the order of the index.

    Raises FewShotError as `check_support`.
    """
    by_label: dict[int, list[int]] = {label: [] for label in image_index.ood_labels}
    for at in image_index.part("ood"):
        by_label[image_index.label_indices[at]].append(at)
    check_support({image_index.labels[label]: len(rows) for label, rows in by_label.items()}, shots)
    return sorted(at for rows in by_label.values() for at in rows[:shots])


def check_support(num_images: Mapping[str, int], shots: int) -> None:
    """Raise FewShotError if an OOD label has no image left to test on, or if there is no OOD label.

    `num_images`: the number of images of each OOD label.
    """
    if not num_images:
        raise FewShotError("there are no OOD labels: few-shot learning needs labels that were not trained on")
    too_few = [(label, number) for label, number in num_images.items() if number <= shots]
    if too_few:
        counts = ", ".join(f'"{label}" has {number}' for label, number in too_few[:5])
        more = f" and {counted(len(too_few) - 5, 'label')} more" if len(too_few) > 5 else ""
        raise FewShotError(f"each OOD label needs {shots} shots and an image to test on; {counts}{more}")


def few_shot_rows(few: Ints, others: Ints, split: BatchSplit, *, batch_index: int, seed: int, step: int) -> Ints:
    """The rows of a batch: a sample of `few` (S,) and slice `batch_index` of `others` (R,), shuffled.

    `others`: in the order of the pass.
    """
    sampled = shuffled(few, seed, step, _FEW_SHOT)[: split.few]
    sliced = others[batch_index * split.others : (batch_index + 1) * split.others]
    return shuffled(np.concatenate([sampled, sliced]), seed, step, _FEW_SHOT + 1)


def exclude_rows(rows: Sequence[int], excluded: Sequence[int]) -> list[int]:
    """The rows that are not in `excluded`, in order."""
    excluded_set = set(excluded)
    return [at for at in rows if at not in excluded_set]
