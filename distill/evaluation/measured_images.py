"""The images that an evaluation measures: held-out and OOD images of an index, and the labels that they may have.

N images, D embedding width.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from distill.data.counter_rng import Ints
from distill.data.few_shot import exclude_rows, support_rows
from distill.data.image_index import ImageIndex
from distill.data.image_store import load_image
from distill.data.packed_strings import PackedPaths
from distill.data.splits import NO_LABEL
from distill.evaluation.accuracy import Evaluation, evaluate
from distill.evaluation.multi_label.measure import measure_sets
from distill.texts.text_targets import TextTargets
from distill.texts.text_templates import TextKind


class NoImages(ValueError):
    """All images of a required part are unusable."""


def evaluation_rows(image_index: ImageIndex, shots: int) -> list[int]:
    """The rows of held-out and OOD images, ascending, without the first `shots` images of each OOD label."""
    rows = sorted(image_index.part("held_out") + image_index.part("ood"))
    if not shots:
        return rows
    support, numbers = support_rows(image_index, shots), image_index.image_numbers
    if numbers is not None:  # an image with several labels is excluded under all of them
        images = {numbers[row] for row in support}
        support = [row for row in rows if numbers[row] in images]
    return exclude_rows(rows, support)


def _labels(image_index: ImageIndex, rows: Sequence[int], usable: Ints) -> Ints:
    """The label index of each usable row. Raises NoImages if there is none."""
    if len(usable) == 0:
        raise NoImages(f"none of the {len(rows)} images to evaluate on can be used")
    return np.array([image_index.label_indices[row] for row in rows], dtype=np.int64)[usable]


def _image_numbers(image_index: ImageIndex, rows: Sequence[int], usable: Ints) -> Ints | None:
    """The number of the image of each usable row; None if no image has several labels."""
    numbers = image_index.image_numbers
    return None if numbers is None else np.array([numbers[row] for row in rows], dtype=np.int64)[usable]


class Measured(NamedTuple):
    """The images that are measured: `labels` (N,), and `image_numbers` (N,) if some images have several labels.

    `id_labels`, `ood_labels`: the labels among which the images are classified.
    """

    labels: Ints
    image_numbers: Ints | None
    id_labels: tuple[int, ...]
    ood_labels: tuple[int, ...]


def measured_rows(image_index: ImageIndex, rows: Sequence[int], usable: Ints, root: Path | None) -> Measured:
    """What is known of the usable rows. Raises NoImages if there is none."""
    labels = _labels(image_index, rows, usable)
    found = _labels_with_images(image_index, labels, root)
    return Measured(
        labels,
        _image_numbers(image_index, rows, usable),
        tuple(label for label in image_index.id_labels if label in found),
        tuple(label for label in image_index.ood_labels if label in found),
    )


def _labels_with_images(image_index: ImageIndex, measured: Ints, root: Path | None) -> set[int]:
    """The labels with an image that can be decoded. `measured`: the labels of the images that are evaluated.

    The images of other labels are opened, until one can be decoded: a label whose files are all damaged was not trained
    on and cannot be an answer, and would make the chance level too low.
    """
    found = set(measured.tolist())
    for not_measured in (image_index.id_labels, image_index.ood_labels):
        if found.isdisjoint(not_measured):  # no image is classified among these labels
            found |= set(not_measured)
    doubtful: dict[int, list[int]] = {}
    for row, label in enumerate(image_index.label_indices):
        if label not in found and label != NO_LABEL:
            doubtful.setdefault(label, []).append(row)
    for label, of_label in doubtful.items():
        if any(load_image(path).image is not None for path in image_paths(image_index, of_label, root)):
            found.add(label)
    return found


def image_paths(image_index: ImageIndex, rows: Sequence[int], root: Path | None) -> Sequence[Path]:
    """The files of rows. `root`: folder of the images, if not the root of the index."""
    return PackedPaths(Path(image_index.root) if root is None else root, image_index.paths, rows)


def evenly_spread(num_all: int, num_chosen: int) -> Ints:
    """Up to `num_chosen` positions of `num_all`, spread evenly; all if there are no more."""
    if not num_all:
        return np.zeros(0, dtype=np.int64)
    return np.unique(np.linspace(0, num_all - 1, min(num_all, num_chosen)).round().astype(np.int64))


def evaluate_sets(
    text: TextKind, features: Tensor, rows: Sequence[int], image_index: ImageIndex, targets: TextTargets
) -> Evaluation:
    """The evaluation of features (N, D) of the `rows` (N,) of a multi-label index. Raises NoImages if there is none."""
    if not rows:
        raise NoImages("none of the images to evaluate on can be used")
    found = measure_sets(features, rows, image_index, targets.features)
    return Evaluation(text=text, id=None, ood=None, joint=None, multi_label=found)


def evaluate_measured(
    text: TextKind,
    features: Tensor,
    measured: Measured,
    image_index: ImageIndex,
    targets: TextTargets,
    temperature: float,
    teacher_features: Tensor | None = None,
) -> Evaluation:
    """The evaluation of features (N, D) of the measured images, as `distill.evaluation.accuracy.evaluate`."""
    return evaluate(
        text,
        features,
        measured.labels,
        targets.features,
        names=image_index.labels,
        id_labels=measured.id_labels,
        ood_labels=measured.ood_labels,
        temperature=temperature,
        teacher_features=teacher_features,
        image_numbers=measured.image_numbers,
    )
