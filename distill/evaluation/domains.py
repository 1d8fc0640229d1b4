"""Accuracy under domain shift: the same labels in other styles, each style a domain with its own images.

As in PACS, Office-Home, ImageNet-R and -D: sketches, paintings, renditions. A domain often has fewer labels than the
dataset of the training. The images of both are therefore classified among the labels that both have, so that the drop
is due to the style and not to the number of labels. N images, K labels, D embedding width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from distill.data.counter_rng import Ints
from distill.evaluation.accuracy import evaluate_features
from distill.evaluation.bootstrap import Intervals


@dataclass(frozen=True, eq=False, kw_only=True)
class DomainImages:
    """Images of one domain: features (N, D), and `labels` (N,), indices of the text targets.

    `image_numbers` (N,): equal for the rows of one image; None if each row is an image of its own.
    """

    name: str
    features: Tensor
    labels: Ints
    image_numbers: Ints | None = None


@dataclass(frozen=True, kw_only=True)
class DomainAccuracy:
    """Mean per-class accuracy in a domain. `training_domain`: on the same labels in the domain of the training.

    `drop`: the second less the first.
    """

    name: str
    accuracy: float
    training_domain: float
    drop: float
    num_labels: int
    num_images: int
    intervals: Intervals


@dataclass(frozen=True, kw_only=True)
class DomainShift:
    """All domains of one part, with the means over domains. `worst`: the domain of the lowest accuracy."""

    mean: float
    worst: str
    worst_accuracy: float
    mean_drop: float
    domains: tuple[DomainAccuracy, ...]


def domain_shift(
    training: DomainImages,
    domains: Sequence[DomainImages],
    targets: Tensor,
    part: Sequence[int],
    *,
    names: Sequence[str],
    temperature: float,
) -> DomainShift | None:
    """The accuracies on the labels of a part; None if no domain shares one with the domain of the training.

    `targets` (K, D). `training`: images of the dataset that the student was trained on, but not trained with. Raises
    ValueError as `evaluate_features`.
    """
    found = [
        accuracy
        for domain in domains
        if (accuracy := _domain_accuracy(training, domain, targets, part, names, temperature)) is not None
    ]
    if not found:
        return None
    worst = min(found, key=lambda one: one.accuracy)
    return DomainShift(
        mean=float(np.mean([one.accuracy for one in found])),
        worst=worst.name,
        worst_accuracy=worst.accuracy,
        mean_drop=float(np.mean([one.drop for one in found])),
        domains=tuple(found),
    )


def _domain_accuracy(
    training: DomainImages,
    domain: DomainImages,
    targets: Tensor,
    part: Sequence[int],
    names: Sequence[str],
    temperature: float,
) -> DomainAccuracy | None:
    shared = np.intersect1d(np.intersect1d(training.labels, domain.labels), np.array(part, dtype=np.int64))
    if not len(shared):
        return None
    here, there = (
        evaluate_features(
            images.features[torch.from_numpy(rows)],
            images.labels[rows],
            targets,
            shared.tolist(),
            names=names,
            temperature=temperature,
            image_numbers=None if images.image_numbers is None else images.image_numbers[rows],
        )
        for images in (domain, training)
        for rows in (np.isin(images.labels, shared),)
    )
    return DomainAccuracy(
        name=domain.name,
        accuracy=here.accuracy,
        training_domain=there.accuracy,
        drop=there.accuracy - here.accuracy,
        num_labels=len(shared),
        num_images=here.num_images,
        intervals=here.intervals,
    )
