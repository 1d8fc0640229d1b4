"""Zero-shot accuracy, of students and of teachers alike: held-out images among ID labels, unseen ones among OOD labels.

Mean per-class accuracy, as arXiv:2307.03135 reports: the share of each label's images that are closest to its own text,
averaged over labels, so that a label with many images counts no more than another. What is measured here chooses
nothing: no weights, no epoch, no recipe. N images, K labels, D embedding width.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from distill import Stopped
from distill.augment import see_center
from distill.chance import Ints
from distill.images import Pixels
from distill.student import Student

IMAGES_AT_ONCE = 4096


@dataclass(frozen=True, kw_only=True)
class PartResult:
    """Accuracy among a set of labels. `chance`: what guessing gives; `per_label`: of the labels that have images."""

    accuracy: float
    chance: float
    num_labels: int
    num_images: int
    per_label: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Held-out images among ID labels and OOD images among OOD labels; None for a part that has no image."""

    text: str
    id: PartResult | None
    ood: PartResult | None

    def as_json(self) -> dict[str, Any]:
        """`{"text", "id": {...} or None, "ood": {...} or None}`."""
        return asdict(self)


def evaluate_features(
    features: Tensor, labels: Ints, targets: Tensor, label_subset: Sequence[int], *, names: Sequence[str]
) -> PartResult:
    """Classify images among the labels of a subset.

    `features` (N, D) and `targets` (K, D) float, normalised here; `labels` (N,) int64 and `label_subset` index
    `targets` and `names` (K). Raises ValueError for no image, an image of a label outside the subset, features that are
    not finite, or two labels of one name.
    """
    subset = sorted(set(label_subset))
    if len(labels) == 0:
        raise ValueError("there is no image to evaluate on")
    outside = sorted(set(labels.tolist()) - set(subset))
    if outside:
        raise ValueError(f'images of "{names[outside[0]]}" are to be told among labels that do not include it')
    if len({names[at] for at in subset}) < len(subset):
        raise ValueError("two labels share a name: give each a sense, to tell their accuracies apart")
    if not torch.isfinite(features).all():
        raise ValueError("image features that are not finite cannot be evaluated")
    nearest = _nearest(features, F.normalize(targets[subset].float(), dim=-1))
    right = np.asarray(subset)[nearest] == labels
    per_label = {names[at]: float(right[labels == at].mean()) for at in subset if (labels == at).any()}
    return PartResult(
        accuracy=float(np.mean(list(per_label.values()))),
        chance=1 / len(subset),
        num_labels=len(subset),
        num_images=len(labels),
        per_label=per_label,
    )


def evaluate(
    text: str,
    features: Tensor,
    labels: Ints,
    targets: Tensor,
    *,
    names: Sequence[str],
    id_labels: Sequence[int],
    ood_labels: Sequence[int],
) -> Evaluation:
    """Both parts of an evaluation; an image belongs to the part that its label is in.

    Arguments as for `evaluate_features`. Raises ValueError where a label is both ID and OOD, because what is called
    unseen would then have been trained on.
    """
    both = sorted(set(id_labels) & set(ood_labels))
    if both:
        raise ValueError(f'"{names[both[0]]}" is both ID and OOD: an unseen label cannot be one that was trained on')
    unseen = np.isin(labels, list(ood_labels))

    def part(wanted: np.ndarray[Any, np.dtype[np.bool_]], subset: Sequence[int]) -> PartResult | None:
        if not wanted.any():
            return None
        return evaluate_features(features[torch.from_numpy(wanted)], labels[wanted], targets, subset, names=names)

    return Evaluation(text=text, id=part(~unseen, id_labels), ood=part(unseen, ood_labels))


def _nearest(features: Tensor, texts: Tensor) -> Ints:
    """Row of the text closest to each image, in pieces so that N x K need not fit in memory."""
    found = [
        (F.normalize(features[start : start + IMAGES_AT_ONCE].float(), dim=-1) @ texts.T).argmax(dim=1)
        for start in range(0, len(features), IMAGES_AT_ONCE)
    ]
    return torch.cat(found).numpy().astype(np.int64)


@torch.inference_mode()
def student_features(
    student: Student,
    pixels: Pixels,
    rows: Ints,
    *,
    device: torch.device,
    batch_size: int = 256,
    on_progress: Callable[[int, int, str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Tensor:
    """The student's features (M, D), float32 on the CPU, not normalised, of the centres of `pixels[rows]`.

    `pixels`: (N, S, S, 3) uint8. `on_progress(done, total, "images")`. Raises Stopped once `should_stop()` is true.
    The student is in evaluation mode on `device` afterwards.
    """
    model = student.model.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    features = torch.zeros(len(rows), student.width)
    for start in range(0, len(rows), batch_size):
        if should_stop is not None and should_stop():
            raise Stopped(f"{start} of {len(rows)} images evaluated")
        batch = rows[start : start + batch_size]
        seen = student.normalise(see_center(torch.from_numpy(pixels[batch]).to(device), student.image_px))
        given = model(seen.contiguous(memory_format=torch.channels_last))
        features[start : start + len(batch)] = given.float().cpu()
        if on_progress is not None:
            on_progress(start + len(batch), len(rows), "images")
    return features
