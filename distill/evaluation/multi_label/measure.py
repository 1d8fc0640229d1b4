"""Evaluation of images with several labels: held-out images among seen labels, OOD images among unseen labels.

The figure is the mean average precision (mAP) over the labels that an image of the part shows: it needs no threshold.
Beside it: seen and unseen labels in all images at once, and precision, recall and F1 at the threshold that was chosen
on held-out images (`distill.evaluation.multi_label.threshold`). N images, K labels, D embedding width.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from distill.data.image_index import ImageIndex
from distill.data.splits import PARTS
from distill.evaluation.bootstrap import Intervals
from distill.evaluation.multi_label.average_precision import average_precision, mean_average_precision
from distill.evaluation.multi_label.threshold import Decisions, LabelThreshold, decisions, label_threshold
from distill.json_types import EvaluatedPart, MultiLabelJSON

Bools = npt.NDArray[np.bool_]
Cosines = npt.NDArray[np.float32]
IMAGES_AT_ONCE = 4096


@dataclass(frozen=True, kw_only=True)
class PartPrecision:
    """Mean average precision among the labels of a part. `chance`: of a random order, the mean share of images.

    `per_label`, `images_per_label`: average precision and images of each label. `decisions`: at the threshold; None
    without one. `replicates`: of the bootstrap intervals.
    """

    mean_ap: float
    chance: float
    num_labels: int
    num_images: int
    per_label: dict[str, float]
    images_per_label: dict[str, int]
    intervals: Intervals
    replicates: int
    decisions: Decisions | None


@dataclass(frozen=True, kw_only=True)
class JointPrecision:
    """Mean average precision of the seen and of the unseen labels, each over the images of both parts."""

    id_mean_ap: float
    ood_mean_ap: float
    num_images: int


@dataclass(frozen=True, kw_only=True)
class MultiLabel:
    """`id`: held-out images among seen labels; `ood`: OOD images among unseen labels; None without images.

    `threshold`: of a student or teacher with enough held-out images; None otherwise.
    """

    id: PartPrecision | None
    ood: PartPrecision | None
    joint: JointPrecision | None
    threshold: LabelThreshold | None

    def as_json(self) -> MultiLabelJSON:
        """The results, of JSON types only."""
        plain: MultiLabelJSON = json.loads(json.dumps(asdict(self)))
        return plain


@dataclass(frozen=True, kw_only=True)
class MeanPrecisions:
    """The means of `MultiLabel` alone, without intervals and threshold, which take longer; None without images.

    `harmonic_mean`: of seen and unseen labels, each over the images of both parts. `num_images`: of each part.
    """

    id: float | None
    ood: float | None
    harmonic_mean: float | None
    num_images: dict[EvaluatedPart, int]


def mean_precisions(features: Tensor, rows: Sequence[int], image_index: ImageIndex, targets: Tensor) -> MeanPrecisions:
    """The mean average precisions of `measure_sets`, whose arguments these are.

    Raises ValueError for features that are not finite.
    """
    measured = _Measured.of(features, rows, image_index, targets)
    images = {"id": ~measured.is_ood, "ood": measured.is_ood}
    id_labels = measured.shown(images["id"], image_index.id_labels)
    ood_labels = measured.shown(images["ood"], image_index.ood_labels)
    joint = None
    if id_labels and ood_labels:
        everything = np.ones(len(rows), dtype=np.bool_)
        both = [measured.mean_ap(everything, labels) for labels in (id_labels, ood_labels)]
        joint = 2 * both[0] * both[1] / sum(both) if sum(both) else 0.0
    return MeanPrecisions(
        id=measured.mean_ap(images["id"], id_labels) if id_labels else None,
        ood=measured.mean_ap(images["ood"], ood_labels) if ood_labels else None,
        harmonic_mean=joint,
        num_images={"id": int(images["id"].sum()), "ood": int(images["ood"].sum())},
    )


def measure_sets(features: Tensor, rows: Sequence[int], image_index: ImageIndex, targets: Tensor) -> MultiLabel:
    """Measure `features` (N, D) of the `rows` (N,) of a multi-label index, held out or OOD. `targets` (K, D).

    Raises ValueError for features that are not finite, or two labels with the same name.
    """
    measured = _Measured.of(features, rows, image_index, targets)
    seen, unseen = ~measured.is_ood, measured.is_ood
    threshold = None
    if seen.any():
        threshold = label_threshold(*measured.part(seen, measured.shown(seen, image_index.id_labels)))
    id = measured.precision(seen, image_index.id_labels, threshold)
    ood = measured.precision(unseen, image_index.ood_labels, threshold)
    if id is not None and threshold is not None:
        id = PartPrecision(**{**vars(id), "decisions": threshold.decisions})  # cross-fitted
    joint = None
    if id is not None and ood is not None:
        everything = np.ones(len(rows), dtype=np.bool_)
        joint = JointPrecision(
            id_mean_ap=measured.mean_ap(everything, measured.shown(seen, image_index.id_labels)),
            ood_mean_ap=measured.mean_ap(everything, measured.shown(unseen, image_index.ood_labels)),
            num_images=len(rows),
        )
    return MultiLabel(id=id, ood=ood, joint=joint, threshold=threshold)


@dataclass(frozen=True, eq=False)
class _Measured:
    """`cosines`, `truth` (N, K), `is_ood` (N,)."""

    cosines: Cosines
    truth: Bools
    is_ood: Bools
    names: Sequence[str]

    @classmethod
    def of(cls, features: Tensor, rows: Sequence[int], image_index: ImageIndex, targets: Tensor) -> "_Measured":
        if not torch.isfinite(features).all():
            raise ValueError("image features that are not finite cannot be evaluated")
        texts = F.normalize(targets.float(), dim=-1)
        cosines = [
            F.normalize(features[start : start + IMAGES_AT_ONCE].float(), dim=-1) @ texts.T
            for start in range(0, len(features), IMAGES_AT_ONCE)
        ]
        truth = np.zeros((len(rows), len(texts)), dtype=np.bool_)
        for at, row in enumerate(rows):
            truth[at, list(image_index.labels_at(row))] = True
        ood = PARTS.index("ood")
        is_ood = np.array([image_index.part_codes[row] == ood for row in rows], dtype=np.bool_)
        return cls(torch.cat(cosines).numpy(), truth, is_ood, image_index.labels)

    def shown(self, images: Bools, labels: Sequence[int]) -> list[int]:
        """Those of the labels that one of the images shows."""
        with_images = set(np.flatnonzero(self.truth[images].sum(axis=0)).tolist())
        return [label for label in labels if label in with_images]

    def part(self, images: Bools, labels: Sequence[int]) -> tuple[Cosines, Bools]:
        return self.cosines[images][:, list(labels)], self.truth[images][:, list(labels)]

    def mean_ap(self, images: Bools, labels: Sequence[int]) -> float:
        scores, truth = self.part(images, labels)
        return float(np.mean([average_precision(scores[:, at], truth[:, at]) for at in range(len(labels))]))

    def precision(self, images: Bools, labels: Sequence[int], threshold: LabelThreshold | None) -> PartPrecision | None:
        shown = self.shown(images, labels)
        if not shown:
            return None
        names = [self.names[label] for label in shown]
        if len({*names}) < len(names):
            raise ValueError("two labels share a name: give each a sense, so that the result of each has its own name")
        scores, truth = self.part(images, shown)
        found = mean_average_precision(scores, truth)
        counts = truth.sum(axis=0)
        return PartPrecision(
            mean_ap=found.mean,
            chance=float(truth.mean()),
            num_labels=len(shown),
            num_images=len(truth),
            per_label=dict(zip(names, found.per_label.tolist(), strict=True)),
            images_per_label=dict(zip(names, counts.tolist(), strict=True)),
            intervals=found.intervals,
            replicates=found.replicates,
            decisions=None if threshold is None else decisions(scores >= threshold.threshold, truth),
        )
