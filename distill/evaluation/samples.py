"""Some images of each label with what a student took them for, wrong ones first: to look at, not to measure.

The closest texts are found as in `distill.evaluation.accuracy`: among the labels of the image's own part. N images, K
labels, D embedding width.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from distill.data.atomic_files import replacing
from distill.data.counter_rng import Ints
from distill.evaluation.accuracy import ELEMENTS_AT_ONCE
from limbeck.shared.images.file_names import json_line

SAMPLES_PER_LABEL = 12
MAX_SAMPLES = 60_000


class Guess(NamedTuple):
    """A label and its confidence: the softmax over the labels of the part, 0 to 1."""

    label: str
    confidence: float


class Sample(NamedTuple):
    """An image of `label` in a row of the image index. `guesses`: the prediction and the runner-up.

    `is_right`: whether the prediction is a label of the image.
    """

    label: str
    row: int
    is_right: bool
    guesses: tuple[Guess, ...]


class Predicted(NamedTuple):
    """What an evaluation measured: embeddings (N, D), rows of the index (N,), label indices (N,), labels of parts.

    `image_numbers` (N,): equal for the rows of one image; None if each row is an image of its own.
    """

    features: Tensor
    rows: Ints
    labels: Ints
    parts: tuple[tuple[int, ...], ...]
    image_numbers: Ints | None = None


def sample_predictions(
    predicted: Predicted, targets: Tensor, names: Sequence[str], *, temperature: float
) -> list[Sample]:
    """Up to `SAMPLES_PER_LABEL` images of each label, and `MAX_SAMPLES` in all; sorted by label.

    The images of a label that are taken for another come first, the most confident mistake first. `targets` (K, D).
    """
    found: list[Sample] = []
    num_labels = max(1, len(np.unique(predicted.labels)))
    per_label = max(1, min(SAMPLES_PER_LABEL, MAX_SAMPLES // num_labels))
    for part in predicted.parts:
        of_part = np.flatnonzero(np.isin(predicted.labels, part))
        if len(of_part):
            guesses, confidences = _guesses(predicted.features, of_part, targets, np.array(part), temperature)
            found += _samples(predicted, of_part, guesses, confidences, names, per_label)
    return sorted(found[:MAX_SAMPLES], key=lambda one: one.label)


def _guesses(
    features: Tensor, images: Ints, targets: Tensor, part: Ints, temperature: float
) -> tuple[Ints, "np.ndarray[tuple[int, int], np.dtype[np.float64]]"]:
    """The two closest labels of each image (n, 2), and their confidences (n, 2)."""
    texts = F.normalize(targets[torch.from_numpy(part)].float(), dim=-1)
    num_guesses = min(2, len(texts))
    size = max(1, ELEMENTS_AT_ONCE // len(texts))
    batches = []
    for start in range(0, len(images), size):
        rows = torch.from_numpy(images[start : start + size])
        logits = F.normalize(features[rows].float(), dim=-1) @ texts.T / temperature  # (n, K)
        best = logits.softmax(dim=-1).topk(num_guesses, dim=-1)
        batches.append((best.indices, best.values))
    chosen, confidences = (torch.cat(column).numpy() for column in zip(*batches, strict=True))
    return part[chosen], confidences.astype(np.float64)


def _samples(
    predicted: Predicted,
    images: Ints,
    guesses: Ints,
    confidences: "np.ndarray[tuple[int, int], np.dtype[np.float64]]",
    names: Sequence[str],
    per_label: int,
) -> Iterable[Sample]:
    labels = predicted.labels[images]
    image = images if predicted.image_numbers is None else predicted.image_numbers[images]
    # As in the accuracy, an image with several labels is right under each if it is taken for any of them.
    is_right = np.isin(image * len(names) + guesses[:, 0], image * len(names) + labels)
    order = np.lexsort((-confidences[:, 0], is_right, labels))
    starts = np.searchsorted(labels[order], labels[order])  # where the label of each image begins
    for at in order[np.arange(len(order)) - starts < per_label].tolist():
        pairs = zip(guesses[at].tolist(), confidences[at].tolist(), strict=True)
        of_image = tuple(Guess(names[label], round(confidence, 4)) for label, confidence in pairs)
        yield Sample(names[int(labels[at])], int(predicted.rows[images[at]]), bool(is_right[at]), of_image)


def save_samples(path: Path, samples: Iterable[Sample]) -> None:
    """Write JSON lines `[label, row, is_right, [[label, confidence], …]]`."""
    with replacing(path) as draft, draft.open("w", encoding="utf-8") as out:
        out.writelines(json_line(sample) for sample in samples)
