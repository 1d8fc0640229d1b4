"""Zero-shot accuracy of students and teachers: held-out images among ID labels, OOD images among OOD labels.

Accuracy is mean per-class accuracy, as in arXiv:2307.03135: the share of a label's images that are closest to its own
text, averaged over labels, so that labels with many images count no more than others. Also measured: all images among
all labels (generalised zero-shot), top-5 accuracy, calibration, confusions, bootstrap intervals, and the agreement of
student and teacher. No result selects weights, an epoch or a recipe. N images, K labels, D embedding width.

An image with several labels has a row under each; it is right in all of them if the closest text is of any of its
labels (`image_numbers` tells which rows are one image).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from distill.data.counter_rng import Ints
from distill.evaluation.agreement import Agreement, agreement
from distill.evaluation.bootstrap import Intervals, accuracy_intervals, harmonic_intervals, harmonic_mean
from distill.evaluation.calibration import Calibration, calibration
from distill.evaluation.multi_label.measure import MultiLabel
from distill.evaluation.none_of_these import NoneOfThese
from distill.json_types import EpochLine, EvaluationJSON, FurtherJSON, LogLine
from limbeck.shared.bundle.open_set import OpenSetScore

ELEMENTS_AT_ONCE = 32_000_000
TEMPERATURE = 0.07
NUM_CONFUSIONS = 200

Bools = npt.NDArray[np.bool_]
ExtraScores = Callable[[Tensor], Tensor]
"""Scores (n, K) of normalised features (n, D), to add to their cosines with the texts of the labels."""


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Images of `label` that are closest to the text of `taken_for`: their number and share of the label's images."""

    label: str
    taken_for: str
    num_images: int
    share: float


@dataclass(frozen=True, kw_only=True)
class LabelSetAccuracy:
    """Accuracy among a set of labels. `chance`: accuracy of guessing. `per_label` and
    `images_per_label`: for the labels that have images.

    `num_images`: an image with several labels counts under each. `top5`: mean over labels of the share of images whose
    own text is among the five closest. `confusions`: most frequent first. `agreement`: of a student with its teacher,
    if teacher features were given.
    """

    accuracy: float
    chance: float
    num_labels: int
    num_images: int
    per_label: dict[str, float]
    images_per_label: dict[str, int]
    top5: float
    intervals: Intervals
    calibration: Calibration
    confusions: tuple[Confusion, ...]
    agreement: Agreement | None = None


@dataclass(frozen=True, kw_only=True)
class JointResult:
    """Generalised zero-shot: images of ID and OOD labels, all classified among all labels.

    `id_accuracy`, `ood_accuracy`: means over the ID and the OOD labels. `harmonic_mean`: of the two.
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
    """Mean accuracies over the last epochs of a training, as in arXiv:2307.03135; None for a part without images.

    `epochs`: their numbers, from 1. `harmonic_mean`: the mean over epochs of the harmonic mean among all labels.
    """

    epochs: tuple[int, ...]
    id_accuracy: float | None
    ood_accuracy: float | None
    harmonic_mean: float | None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Held-out images among ID labels, OOD images among OOD labels, both among all labels; None without images.

    All parts use the final weights, except `last_epochs`, the mean over the weights of several epochs.
    `retrieval`: the OOD part with few-shot retrieval in addition to the texts, if requested.
    `num_training_images`: images that were left out because the student was trained on them. `none_of_these`: of a
    student with enough held-out images; absent from the JSON otherwise. `none_of_these_by_score`: the thresholds of
    other scores than the cosine; absent from the JSON if there are none. `further`: results of
    `distill.evaluation.further`, whose fields are those of the JSON. `multi_label`: the results of images with several
    labels, which have no accuracy; absent from the JSON for others.
    """

    text: str
    id: LabelSetAccuracy | None
    ood: LabelSetAccuracy | None
    joint: JointResult | None
    last_epochs: LastEpochs | None = None
    retrieval: LabelSetAccuracy | None = None
    num_training_images: int = 0
    none_of_these: NoneOfThese | None = None
    none_of_these_by_score: Mapping[OpenSetScore, NoneOfThese] = field(default_factory=dict)
    further: FurtherJSON = field(default_factory=FurtherJSON)
    multi_label: MultiLabel | None = None

    def as_json(self) -> EvaluationJSON:
        """`{"text", "id": {...} or None, "ood", "joint", "last_epochs", "retrieval"}`, of JSON types only."""
        fields = asdict(self)
        further = fields.pop("further")
        plain: EvaluationJSON = json.loads(json.dumps({**fields, **further}))
        if self.none_of_these is None:
            del plain["none_of_these"]
        if not self.none_of_these_by_score:
            del plain["none_of_these_by_score"]
        if self.multi_label is None:
            del plain["multi_label"]
        return plain

    def summary(self) -> EpochLine:
        """The accuracies as a line of the training log, from which `last_epochs` computes its means."""
        return {
            "accuracy": {
                "id": self.id.accuracy if self.id else None,
                "ood": self.ood.accuracy if self.ood else None,
                "harmonic_mean": self.joint.harmonic_mean if self.joint else None,
            }
        }


def last_epochs(log: Sequence[LogLine], num_epochs: int) -> LastEpochs | None:
    """The means over the last `num_epochs` lines of `Evaluation.summary` in a training log; None without lines."""
    lines = [line for line in log if "accuracy" in line][-num_epochs:] if num_epochs else []
    if not lines:
        return None

    def mean(name: Literal["id", "ood", "harmonic_mean"]) -> float | None:
        values = [value for line in lines if (value := line["accuracy"][name]) is not None]
        return float(np.mean(values)) if len(values) == len(lines) else None

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
    image_numbers: Ints | None = None,
    extra: ExtraScores | None = None,
) -> LabelSetAccuracy:
    """Classify images among the labels of a subset.

    `features` (N, D) and `targets` (K, D) float, normalised here; `labels` (N,) int64 and `label_subset` are indices of
    `targets` and `names` (K). `temperature`: of the softmax for the confidence. `teacher_features` (N, D): for the
    agreement. `image_numbers` (N,): equal for the rows of one image; None if each row is an image of its own. `extra`:
    scores to add to the cosines with the texts of the subset, ascending. Raises ValueError for no image, an image of a
    label outside the subset, features that are not finite, or two labels with the same name.
    """
    subset, truth = _validate(features, labels, label_subset, names)
    subset_targets = targets[torch.from_numpy(subset)]
    predictions = _predict(features, truth, subset_targets, temperature, extra).of_images(truth, image_numbers)
    counts = np.bincount(truth, minlength=len(subset))
    with_images = np.flatnonzero(counts)
    images = counts[with_images]
    correct = np.bincount(truth[predictions.correct], minlength=len(subset))[with_images]
    in_top5 = np.bincount(truth[predictions.rank < 5], minlength=len(subset))[with_images]
    shares = correct / images
    measured = [names[label] for label in subset[with_images].tolist()]
    return LabelSetAccuracy(
        accuracy=float(shares.mean()),
        chance=1 / len(subset),
        num_labels=len(subset),
        num_images=len(labels),
        per_label=dict(zip(measured, shares.tolist(), strict=True)),
        images_per_label=dict(zip(measured, images.tolist(), strict=True)),
        top5=float((in_top5 / images).mean()),
        intervals=accuracy_intervals(correct, images),
        calibration=calibration(predictions.confidence, predictions.correct, temperature=temperature),
        confusions=_confusions(truth, predictions, counts, [names[label] for label in subset.tolist()]),
        agreement=None
        if teacher_features is None
        else agreement(features, teacher_features, subset_targets, temperature=temperature),
    )


def mean_per_class_accuracy(
    features: Tensor,
    labels: Ints,
    targets: Tensor,
    label_subset: Sequence[int],
    *,
    image_numbers: Ints | None = None,
) -> float:
    """The accuracy of `evaluate_features` alone, 0 to 1: without the intervals, which take most of its time."""
    subset = np.unique(np.asarray(label_subset, dtype=np.int64))
    truth = np.searchsorted(subset, labels)
    predictions = _predict(features, truth, targets[torch.from_numpy(subset)]).of_images(truth, image_numbers)
    images = np.bincount(truth, minlength=len(subset))
    correct = np.bincount(truth[predictions.correct], minlength=len(subset))
    return float((correct[images > 0] / images[images > 0]).mean())


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
    image_numbers: Ints | None = None,
) -> Evaluation:
    """Evaluate all parts; an image belongs to the part of its label.

    Arguments as for `evaluate_features`. Raises ValueError for a label that is both ID and OOD, because OOD labels must
    not be trained on.
    """
    both = sorted(set(id_labels) & set(ood_labels))
    if both:
        raise ValueError(f'"{names[both[0]]}" is both ID and OOD: an unseen label must not be trained on')
    unseen = np.isin(labels, list(ood_labels))

    def part(selected: Bools, subset: Sequence[int]) -> LabelSetAccuracy | None:
        if not selected.any():
            return None
        rows = torch.from_numpy(selected)
        return evaluate_features(
            features[rows],
            labels[selected],
            targets,
            subset,
            names=names,
            temperature=temperature,
            teacher_features=None if teacher_features is None else teacher_features[rows],
            image_numbers=None if image_numbers is None else image_numbers[selected],
        )

    return Evaluation(
        text=text,
        id=part(~unseen, id_labels),
        ood=part(unseen, ood_labels),
        joint=_evaluate_jointly(features, labels, targets, names, unseen, [*id_labels, *ood_labels], image_numbers)
        if unseen.any() and not unseen.all()
        else None,
    )


def _evaluate_jointly(
    features: Tensor,
    labels: Ints,
    targets: Tensor,
    names: Sequence[str],
    unseen: Bools,
    all_labels: Sequence[int],
    image_numbers: Ints | None,
) -> JointResult:
    subset, truth = _validate(features, labels, all_labels, names)
    predictions = _predict(features, truth, targets[torch.from_numpy(subset)]).of_images(truth, image_numbers)

    def counts(selected: Bools) -> tuple[Ints, Ints]:
        """Correct and all selected images, of each label that has any."""
        images = np.bincount(truth[selected], minlength=len(subset))
        correct = np.bincount(truth[selected & predictions.correct], minlength=len(subset))
        with_images = np.flatnonzero(images)
        return correct[with_images], images[with_images]

    id_correct, id_images = counts(~unseen)
    ood_correct, ood_images = counts(unseen)
    id_accuracy, ood_accuracy = float((id_correct / id_images).mean()), float((ood_correct / ood_images).mean())
    return JointResult(
        id_accuracy=id_accuracy,
        ood_accuracy=ood_accuracy,
        harmonic_mean=float(harmonic_mean(np.array(id_accuracy), np.array(ood_accuracy))),
        chance=1 / len(subset),
        num_labels=len(subset),
        id_intervals=accuracy_intervals(id_correct, id_images),
        ood_intervals=accuracy_intervals(ood_correct, ood_images),
        harmonic_intervals=harmonic_intervals(id_correct, id_images, ood_correct, ood_images),
    )


def _validate(features: Tensor, labels: Ints, label_subset: Sequence[int], names: Sequence[str]) -> tuple[Ints, Ints]:
    """The labels of the subset, ascending, and the position (N,) of each image's label among them."""
    subset = np.unique(np.asarray(label_subset, dtype=np.int64))
    if len(labels) == 0:
        raise ValueError("there is no image to evaluate on")
    outside = np.setdiff1d(labels, subset)
    if len(outside):
        raise ValueError(f'images of "{names[outside[0]]}" cannot be classified among labels that do not include it')
    if len({names[label] for label in subset.tolist()}) < len(subset):
        raise ValueError("two labels share a name: give each a sense, so that the accuracy of each has a distinct name")
    if not torch.isfinite(features).all():
        raise ValueError("image features that are not finite cannot be evaluated")
    return subset, np.searchsorted(subset, labels)


@dataclass(frozen=True, eq=False)
class _Predictions:
    """For each image (N,): the closest text, whether it is the right one, the rank of the right text, the confidence.

    `rank`: number of texts that are closer than the right one.
    """

    chosen: Ints
    correct: Bools
    rank: Ints
    confidence: npt.NDArray[np.float64]

    def of_images(self, truth: Ints, image_numbers: Ints | None) -> "_Predictions":
        """The predictions where a row is right if its closest text is of any label of its image.

        `truth` (N,): position of the label of each row; `image_numbers` (N,): equal for the rows of one image.
        """
        if image_numbers is None:
            return self
        _, image = np.unique(image_numbers, return_inverse=True)
        num_labels = int(max(truth.max(), self.chosen.max())) + 1
        correct = np.isin(image * num_labels + self.chosen, image * num_labels + truth)
        best = np.full(len(truth), np.iinfo(self.rank.dtype).max, dtype=self.rank.dtype)
        np.minimum.at(best, image, self.rank)
        return replace(self, correct=correct, rank=best[image])


def _predict(
    features: Tensor, truth: Ints, targets: Tensor, temperature: float | None = None, extra: ExtraScores | None = None
) -> _Predictions:
    """Compare images with texts (K, D), in batches because N x K numbers may not fit in memory.

    Without a temperature the confidence is 0, because the softmax takes most of the time.
    """
    texts = F.normalize(targets.float(), dim=-1)
    size = max(1, ELEMENTS_AT_ONCE // len(texts))
    right_text = torch.from_numpy(truth)[:, None]
    batches: list[tuple[Tensor, Tensor, Tensor]] = []
    for start in range(0, len(features), size):
        normalised = F.normalize(features[start : start + size].float(), dim=-1)
        similarity = normalised @ texts.T  # (n, K)
        if extra is not None:
            similarity += extra(normalised)
        best, chosen = similarity.max(dim=1)
        rank = (similarity > similarity.gather(1, right_text[start : start + size])).sum(dim=1)
        confidence = torch.zeros_like(best)
        if temperature is not None:
            # The softmax of the best text, shifted by its similarity, so that nothing overflows.
            confidence = 1 / similarity.sub_(best[:, None]).div_(temperature).exp_().sum(dim=1)
        batches.append((chosen, rank, confidence))
    chosen_text, ranks, confidences = (torch.cat(column).numpy() for column in zip(*batches, strict=True))
    return _Predictions(chosen_text, chosen_text == truth, ranks, confidences.astype(np.float64))


def _confusions(truth: Ints, predictions: _Predictions, counts: Ints, names: Sequence[str]) -> tuple[Confusion, ...]:
    """The most frequent pairs of a label and another label that its images were classified as."""
    wrong = ~predictions.correct
    pairs, times = np.unique(truth[wrong] * len(names) + predictions.chosen[wrong], return_counts=True)
    order = np.lexsort((pairs, -times))[:NUM_CONFUSIONS]
    labels, others, num_images = pairs[order] // len(names), pairs[order] % len(names), times[order]
    return tuple(
        Confusion(label=names[label], taken_for=names[other], num_images=count, share=count / int(counts[label]))
        for label, other, count in zip(labels.tolist(), others.tolist(), num_images.tolist(), strict=True)
    )
