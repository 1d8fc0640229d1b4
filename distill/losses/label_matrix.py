"""The labels of images with several labels, for the losses that use all of them.

N images, B of a batch, M usable images, K labels, V teacher views, D embedding width.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from distill.config.multi_label import is_multi_label_loss
from distill.config.train_config import TrainConfig
from distill.data.columns.label_sets import LabelSets
from distill.data.counter_rng import Ints
from distill.data.splits import NO_LABEL
from distill.losses.label_logits import balanced_offset

MAX_COSINES = 20_000_000
"""Cosines of images and texts from which the offset is computed; of more images, some are taken, spread evenly."""
_MIN_IMAGES = 100


def label_matrix(label_sets: LabelSets, rows: Ints, num_labels: int) -> Tensor:
    """(B, K) uint8, 1 where an image of `rows` (B,) has a label."""
    matrix = torch.zeros(len(rows), num_labels, dtype=torch.uint8)
    for at, row in enumerate(rows.tolist()):
        matrix[at, list(label_sets[row])] = 1
    return matrix


def needs_teacher_offset(config: TrainConfig) -> bool:
    """Whether a loss asks for `teacher_offset`, and so for the first view of each image."""
    return is_multi_label_loss(config) and config.objective.label_offset == "teacher"


def teacher_offset(
    config: TrainConfig, teacher: Tensor, texts: Tensor, labels: Ints, label_sets: LabelSets | None, usable: Ints
) -> float | None:
    """What `label_offset` "teacher" means, by its features (N, V, D) of labelled images; None if no loss asks for it.

    `texts` (K, D). `labels` (N,), or `label_sets`, are rows of `texts`. `usable` (M,): the rows to train on.
    """
    if not needs_teacher_offset(config):
        return None
    rows = usable[labels[usable] != NO_LABEL]
    num_rows = min(len(rows), max(_MIN_IMAGES, MAX_COSINES // len(texts)))
    rows = rows[np.linspace(0, len(rows) - 1, num_rows).round().astype(np.int64)]
    sets = LabelSets((label,) for label in labels.tolist()) if label_sets is None else label_sets
    images = F.normalize(teacher[torch.from_numpy(rows), 0].float(), dim=-1)
    cosines = images @ F.normalize(texts.float(), dim=-1).T  # (n, K)
    offset = balanced_offset(cosines, label_matrix(sets, rows, len(texts)), temperature=config.objective.temperature)
    return round(offset, 6)  # the same with another number of threads
