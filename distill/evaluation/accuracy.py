"""Zero-shot accuracy, of students and of teachers alike: held-out images among ID labels, unseen ones among OOD labels.

Mean per-class accuracy, as arXiv:2307.03135 reports: the share of each label's images that are closest to its own text,
averaged over labels, so that a label with many images counts no more than another. Beside it what it leaves out: both
kinds of image among all labels at once (generalised zero-shot), the five best labels, calibration, what is taken for
what, how far chance could move the figure, and how far student and teacher agree. What is measured here chooses
nothing: no weights, no epoch, no recipe. N images, K labels, D embedding width.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from distill.data.counter_rng import Ints
from distill.evaluation.agreement import Agreement, agreement
from distill.evaluation.bootstrap import Intervals, accuracy_intervals, harmonic_intervals, harmonic_mean
from distill.evaluation.calibration import Calibration, calibration

ELEMENTS_AT_ONCE = 32_000_000
TEMPERATURE = 0.07
NUM_CONFUSIONS = 20

Bools = npt.NDArray[np.bool_]
ExtraScores = Callable[[Tensor], Tensor]
"""From normalised features (n, D) to what is added to their cosines with the labels' texts (n, K)."""


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Images of `label` that are closest to the text of `taken_for`, and their share of the label's images."""

    label: str
    taken_for: str
    num_images: int
    share: float


@dataclass(frozen=True, kw_only=True)
class PartResult:
    """Accuracy among a set of labels. `chance`: what guessing gives; `per_label`: of the labels that have images.

    `top5`: mean over labels of the share of images whose own text is among the five closest. `confusions`: the most
    frequent, first. `agreement`: of a student with its teacher, where the teacher's features were at hand.
    """

    accuracy: float
    chance: float
    num_labels: int
    num_images: int
    per_label: dict[str, float]
    top5: float
    intervals: Intervals
    calibration: Calibration
    confusions: tuple[Confusion, ...]
    agreement: Agreement | None = None


@dataclass(frozen=True, kw_only=True)
class JointResult:
    """Generalised zero-shot: images of seen and of unseen labels, each told among all labels.

    `id_accuracy` and `ood_accuracy` are means over the labels of either kind; intervals are of all three figures.
    """

    id_accuracy: float
    ood_accuracy: float
    harmonic_mean: float
    chance: float
    num_labels: int
    id_intervals: Intervals
    ood_intervals: Intervals
    harmonic_intervals: Intervals


@dataclass(frozen=True, kw_only=True)
class LastEpochs:
    """Means over the last epochs of a training, as arXiv:2307.03135 reports; None for a part without images.

    `epochs`: which, from 1. `harmonic_mean`: the mean of each epoch's harmonic mean among all labels.
    """

    epochs: tuple[int, ...]
    id_accuracy: float | None
    ood_accuracy: float | None
    harmonic_mean: float | None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Held-out images among ID labels, OOD images among OOD labels, both among all; None for what has no image.

    All of the weights that were given, the last ones of a training; only `last_epochs` is of the weights before them.
    `retrieval`: the OOD part again, with a memory of few images beside the texts, where that was asked for.
    """

    text: str
    id: PartResult | None
    ood: PartResult | None
    joint: JointResult | None
    last_epochs: LastEpochs | None = None
    retrieval: PartResult | None = None

    def as_json(self) -> dict[str, Any]:
        """`{"text", "id": {...} or None, "ood", "joint", "last_epochs", "retrieval"}`, of JSON's types alone."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    def summary(self) -> dict[str, Any]:
        """The line of an epoch in a training log, from which `last_epochs` takes its means."""
        return {
            "accuracy": {
                "id": self.id and self.id.accuracy,
                "ood": self.ood and self.ood.accuracy,
                "harmonic_mean": self.joint and self.joint.harmonic_mean,
            }
        }


def last_epochs(log: Sequence[dict[str, Any]], num_epochs: int) -> LastEpochs | None:
    """The means over the last `num_epochs` lines that `Evaluation.in_short` made, None where there is none."""
    lines = [line for line in log if "accuracy" in line][-num_epochs:] if num_epochs else []
    if not lines:
        return None

    def mean(figure: str) -> float | None:
        values = [line["accuracy"][figure] for line in lines]
        return None if None in values else float(np.mean(values))

    return LastEpochs(
        epochs=tuple(int(line["epoch"]) for line in lines),
        id_accuracy=mean("id"),
        ood_accuracy=mean("ood"),
        harmonic_mean=mean("harmonic_mean"),
    )


def evaluate_features(
    features: Tensor,
    labels: Ints,
    targets: Tensor,
    label_subset: Sequence[int],
    *,
    names: Sequence[str],
    temperature: float = TEMPERATURE,
    teacher_features: Tensor | None = None,
    extra: ExtraScores | None = None,
) -> PartResult:
    """Classify images among the labels of a subset.

    `features` (N, D) and `targets` (K, D) float, normalised here; `labels` (N,) int64 and `label_subset` index
    `targets` and `names` (K). `temperature`: of the softmax that is the confidence. `teacher_features` (N, D): to
    measure agreement with. `extra`: scores to add to the cosines with the subset's texts, ascending. Raises
    ValueError for no image, an image of a label outside the subset, features that are not finite, or two labels of
    one name.
    """
    subset, truth = _validate(features, labels, label_subset, names)
    told = _predict(features, truth, targets[torch.from_numpy(subset)], temperature, extra)
    counts = np.bincount(truth, minlength=len(subset))
    held = np.flatnonzero(counts)
    right = np.bincount(truth[told.right], minlength=len(subset))[held]
    among_five = np.bincount(truth[told.rank < 5], minlength=len(subset))[held]
    images = counts[held]
    return PartResult(
        accuracy=float((right / images).mean()),
        chance=1 / len(subset),
        num_labels=len(subset),
        num_images=len(labels),
        per_label={
            names[subset[at]]: share for at, share in zip(held.tolist(), (right / images).tolist(), strict=True)
        },
        top5=float((among_five / images).mean()),
        intervals=accuracy_intervals(right, images),
        calibration=calibration(told.confidence, told.right, temperature=temperature),
        confusions=_confusions(truth, told.chosen, counts, [names[at] for at in subset.tolist()]),
        agreement=None
        if teacher_features is None
        else agreement(features, teacher_features, targets[torch.from_numpy(subset)], temperature=temperature),
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
    temperature: float = TEMPERATURE,
    teacher_features: Tensor | None = None,
) -> Evaluation:
    """All parts of an evaluation; an image belongs to the part that its label is in.

    Arguments as for `evaluate_features`. Raises ValueError where a label is both ID and OOD, because what is called
    unseen would then have been trained on.
    """
    both = sorted(set(id_labels) & set(ood_labels))
    if both:
        raise ValueError(f'"{names[both[0]]}" is both ID and OOD: an unseen label cannot be one that was trained on')
    unseen = np.isin(labels, list(ood_labels))

    def part(wanted: Bools, subset: Sequence[int]) -> PartResult | None:
        if not wanted.any():
            return None
        rows = torch.from_numpy(wanted)
        return evaluate_features(
            features[rows],
            labels[wanted],
            targets,
            subset,
            names=names,
            temperature=temperature,
            teacher_features=None if teacher_features is None else teacher_features[rows],
        )

    return Evaluation(
        text=text,
        id=part(~unseen, id_labels),
        ood=part(unseen, ood_labels),
        joint=_joint(features, labels, targets, names, unseen, [*id_labels, *ood_labels])
        if unseen.any() and not unseen.all()
        else None,
    )


def _joint(
    features: Tensor, labels: Ints, targets: Tensor, names: Sequence[str], unseen: Bools, everything: Sequence[int]
) -> JointResult:
    subset, truth = _validate(features, labels, everything, names)
    told = _predict(features, truth, targets[torch.from_numpy(subset)])
    images, right = (
        [np.bincount(truth[rows & kind], minlength=len(subset)) for kind in (~unseen, unseen)]
        for rows in (np.ones(len(truth), dtype=np.bool_), told.right)
    )
    held = [np.flatnonzero(count) for count in images]
    id_right, ood_right = (count[at] for count, at in zip(right, held, strict=True))
    id_images, ood_images = (count[at] for count, at in zip(images, held, strict=True))
    seen, new = float((id_right / id_images).mean()), float((ood_right / ood_images).mean())
    return JointResult(
        id_accuracy=seen,
        ood_accuracy=new,
        harmonic_mean=float(harmonic_mean(np.array(seen), np.array(new))),
        chance=1 / len(subset),
        num_labels=len(subset),
        id_intervals=accuracy_intervals(id_right, id_images),
        ood_intervals=accuracy_intervals(ood_right, ood_images),
        harmonic_intervals=harmonic_intervals(id_right, id_images, ood_right, ood_images),
    )


def _validate(features: Tensor, labels: Ints, label_subset: Sequence[int], names: Sequence[str]) -> tuple[Ints, Ints]:
    """The labels chosen from, ascending, and each image's place among them; what cannot be told is refused."""
    subset = np.unique(np.asarray(label_subset, dtype=np.int64))
    if len(labels) == 0:
        raise ValueError("there is no image to evaluate on")
    outside = np.setdiff1d(labels, subset)
    if len(outside):
        raise ValueError(f'images of "{names[outside[0]]}" are to be told among labels that do not include it')
    if len({names[at] for at in subset.tolist()}) < len(subset):
        raise ValueError("two labels share a name: give each a sense, to tell their accuracies apart")
    if not torch.isfinite(features).all():
        raise ValueError("image features that are not finite cannot be evaluated")
    return subset, np.searchsorted(subset, labels)


@dataclass(frozen=True, eq=False)
class _Predictions:
    """By image (N,): the text it is closest to, whether that is its own, how many are closer, and its confidence."""

    chosen: Ints
    right: Bools
    rank: Ints
    confidence: npt.NDArray[np.float64]


def _predict(
    features: Tensor, truth: Ints, targets: Tensor, temperature: float | None = None, extra: ExtraScores | None = None
) -> _Predictions:
    """Compare images with texts (K, D), in pieces so that N x K need not fit in memory; no confidence without a
    temperature, since the softmax costs more than all the rest."""
    texts = F.normalize(targets.float(), dim=-1)
    size = max(1, ELEMENTS_AT_ONCE // len(texts))
    own = torch.from_numpy(truth)[:, None]
    pieces: list[tuple[Tensor, Tensor, Tensor]] = []
    for start in range(0, len(features), size):
        unit = F.normalize(features[start : start + size].float(), dim=-1)
        similarity = unit @ texts.T  # (n, K)
        if extra is not None:
            similarity += extra(unit)
        best, chosen = similarity.max(dim=1)
        rank = (similarity > similarity.gather(1, own[start : start + size])).sum(dim=1)
        sure = torch.zeros_like(best)
        if temperature is not None:
            # exp(best/T) over the sum of all; shifted by the best, so that nothing overflows.
            sure = 1 / similarity.sub_(best[:, None]).div_(temperature).exp_().sum(dim=1)
        pieces.append((chosen, rank, sure))
    chosen_at, closer, confidence = (torch.cat(column).numpy() for column in zip(*pieces, strict=True))
    return _Predictions(chosen_at, chosen_at == truth, closer, confidence.astype(np.float64))


def _confusions(truth: Ints, chosen: Ints, counts: Ints, names: Sequence[str]) -> tuple[Confusion, ...]:
    wrong = chosen != truth
    pairs, times = np.unique(truth[wrong] * len(names) + chosen[wrong], return_counts=True)
    most = np.lexsort((pairs, -times))[:NUM_CONFUSIONS]
    return tuple(
        Confusion(label=names[own], taken_for=names[other], num_images=many, share=many / int(counts[own]))
        for own, other, many in zip(
            (pairs[most] // len(names)).tolist(), (pairs[most] % len(names)).tolist(), times[most].tolist(), strict=True
        )
    )
