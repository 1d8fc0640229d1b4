"""Evaluation of several sets at once: domains, unknown images, corruptions and retrieval, beside the accuracies.

Retrieval and near unknowns need no more than the features of the evaluation, and are always measured. Domains and far
unknowns are other datasets; corruptions are made of the images of the evaluation. N images, K labels, D embedding
width.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distill.config.multi_label import check_one_label
from distill.data.counter_rng import Ints
from distill.data.dataset.label_matcher import LabelMatcher
from distill.data.dataset.trained_on import Prefixes, TrainedOn, image_prefixes
from distill.data.decoded_images import decode_images, eval_size
from distill.data.image_index import ImageIndex
from distill.data.image_store import file_digests
from distill.data.splits import NO_LABEL
from distill.evaluation import none_of_these
from distill.evaluation.corruptions.measure import Classifier, CorruptedImages, Corruptions, measure_corruptions
from distill.evaluation.domains import DomainImages, DomainShift, domain_shift
from distill.evaluation.measured_images import Measured, evenly_spread, image_paths
from distill.evaluation.named_images import FurtherSetUnfit, NamedImages
from distill.evaluation.open_set.measure import OpenSet, Unknown, open_set
from distill.evaluation.recall import Retrieval, retrieval
from distill.hooks import PipelineHooks
from distill.json_types import FurtherJSON
from distill.student.features import student_features
from distill.student.model import Student
from distill.texts.text_targets import TextTargets

MAX_UNKNOWN = 10_000
"""Far unknown images beyond this number are a part of all, spread evenly."""
DATASET_UNKNOWNS = "unseen labels of the dataset"


@dataclass(frozen=True, eq=False, kw_only=True)
class Baseline:
    """A closed-set classifier of the same run. `labels`: names of its outputs, in order."""

    student: Student
    labels: tuple[str, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class FurtherSets:
    """What to measure beside the accuracies. `trained_on`: what the student was trained on, to leave it out.

    `corruption_images`: the number of images for the corruptions; 0: none. `outliers` (M, D): text features of outlier
    labels, by the teacher of the student. `threshold`: that of the student's bundle for "none of these"; None: that of
    the images of this evaluation. `may_lack_images`: too few known images for `far` and `outliers` are no error.
    """

    domains: Sequence[NamedImages] = ()
    far: NamedImages | None = None
    corruption_images: int = 0
    baseline: Baseline | None = None
    outliers: Tensor | None = None
    threshold: float | None = None
    may_lack_images: bool = False
    trained_on: TrainedOn = field(default_factory=lambda: TrainedOn(()))

    @property
    def is_asked(self) -> bool:
        """Whether there is something to measure beside what every student has."""
        return bool(self.domains or self.far or self.corruption_images or self.outliers is not None)


def of_training(outliers: TextTargets | None) -> FurtherSets:
    """What a training measures: the open-set results, with look-alikes if its attributes name some."""
    return FurtherSets(outliers=None if outliers is None else outliers.features, may_lack_images=True)


@dataclass(frozen=True, kw_only=True)
class DomainShifts:
    """Accuracy under domain shift, of the seen and of the unseen labels."""

    id: DomainShift | None
    ood: DomainShift | None


@dataclass(frozen=True, kw_only=True)
class RetrievalParts:
    """Retrieval among the images of the seen, and among those of the unseen labels."""

    id: Retrieval | None
    ood: Retrieval | None


@dataclass(frozen=True, kw_only=True)
class Further:
    """The results; None for what was not measured."""

    domains: DomainShifts | None
    corruptions: Corruptions | None
    recall: RetrievalParts
    open_set: OpenSet | None

    def as_json(self) -> FurtherJSON:
        """What was measured, of JSON types only."""
        found = {name: value for name, value in asdict(self).items() if value is not None}
        plain: FurtherJSON = json.loads(json.dumps(found))
        return plain


@dataclass(frozen=True, eq=False, kw_only=True)
class MeasuredFeatures:
    """What an evaluation has already: features (N, D) of the `rows` (N,) of an index, and what is known of them.

    `threshold`: that of `distill.evaluation.none_of_these`, if there is one.
    """

    features: Tensor
    rows: Ints
    measured: Measured
    image_index: ImageIndex
    targets: Tensor
    root: Path | None
    threshold: float | None = None

    @property
    def numbers(self) -> Ints:
        """The number of the image of each row."""
        numbers = self.measured.image_numbers
        return np.arange(len(self.rows)) if numbers is None else numbers


@dataclass(frozen=True, eq=False, kw_only=True)
class _Embedded:
    """Images of a further set: `features` (N, D) of `rows` (N,) of its index, and the numbers of those left out."""

    features: Tensor
    rows: Ints
    num_unreadable: int = 0
    num_trained_on: int = 0
    num_measured: int = 0
    num_other_labels: int = 0
    num_known_labels: int = 0

    @property
    def is_of_training(self) -> bool:
        """Whether all images that can be read are those of the training and of this evaluation."""
        return not len(self.rows) and bool(self.num_trained_on + self.num_measured) and not self.num_other_labels

    @property
    def left_out(self) -> str:
        """How many images are left out for which reason; empty if none is."""
        reasons = {
            "cannot be read": self.num_unreadable,
            "were trained on": self.num_trained_on,
            "are measured as images of the labels": self.num_measured,
            "are of the labels": self.num_known_labels,
            "have a label that the student's dataset has not, or has twice": self.num_other_labels,
        }
        return ", ".join(f"{number:,} {reason}" for reason, number in reasons.items() if number)


@dataclass(frozen=True, eq=False)
class FurtherMeasurement:
    """Measures one student. `temperature`: of its training."""

    student: Student
    sets: FurtherSets
    temperature: float
    cache: Path
    device: torch.device
    num_workers: int
    hooks: PipelineHooks

    def measure(self, known: MeasuredFeatures) -> Further:
        """All results.

        Raises ImagesError, Stopped, MultiLabelUnfit, FurtherSetUnfit, and ValueError for another baseline's labels.
        """
        for named in (*self.sets.domains, *filter(None, [self.sets.far])):
            check_one_label(named.image_index.is_multi_label, f"a measurement on {named.name}")
        self._check_open_set(known)
        return Further(
            domains=self._domains(known),
            corruptions=self._corruptions(known),
            recall=RetrievalParts(
                id=self._retrieval(known, known.measured.id_labels),
                ood=self._retrieval(known, known.measured.ood_labels),
            ),
            open_set=self._open_set(known),
        )

    def _retrieval(self, known: MeasuredFeatures, part: Sequence[int]) -> Retrieval | None:
        rows = np.isin(known.measured.labels, list(part))
        if not rows.any():
            return None
        return retrieval(
            known.features[torch.from_numpy(rows)],
            known.measured.labels[rows],
            known.targets,
            part,
            known.numbers[rows],
        )

    def _domains(self, known: MeasuredFeatures) -> DomainShifts | None:
        if not self.sets.domains:
            return None
        training = DomainImages(
            name="", features=known.features, labels=known.measured.labels, image_numbers=known.measured.image_numbers
        )
        matcher = LabelMatcher(known.image_index.labels)
        measured = np.intersect1d(known.measured.labels, [*known.measured.id_labels, *known.measured.ood_labels])
        own = self._measured_contents(known)
        domains = []
        for named in self.sets.domains:
            embedded, domain = self._domain(named, matcher, own)
            if embedded.is_of_training:
                self.hooks.note(
                    f"the domain {named.name} is left out: it has the images of the training and of this evaluation "
                    "alone, and so is the domain of the training"
                )
                continue
            if not np.isin(domain.labels, measured).any():
                raise FurtherSetUnfit(
                    f"the domain {domain.name} has no image to measure on, of a label that the measured images have "
                    f"too{_of_these(embedded)}: correct its files and labels, or leave it out"
                )
            self._note_left_out(f"domain {named.name}", embedded)
            domains.append(domain)
        if not domains:
            raise FurtherSetUnfit(
                "each domain has the images of the training and of this evaluation alone: name domains of other images"
            )

        def shift(part: Sequence[int]) -> DomainShift | None:
            return domain_shift(
                training,
                domains,
                known.targets,
                part,
                names=known.image_index.labels,
                temperature=self.temperature,
            )

        return DomainShifts(id=shift(known.measured.id_labels), ood=shift(known.measured.ood_labels))

    def _domain(self, named: NamedImages, matcher: LabelMatcher, own: Prefixes) -> tuple[_Embedded, DomainImages]:
        """The images of a domain whose labels the student's dataset has. `own`: as of `_embedded`."""
        index = named.image_index
        positions = [matcher.find(name) for name in index.labels]
        labelled = [row for row, label in enumerate(index.label_indices) if label != NO_LABEL]
        rows = [row for row in labelled if len(positions[index.label_indices[row]]) == 1]
        embedded = replace(self._embedded(named, rows, own), num_other_labels=len(labelled) - len(rows))
        chosen = embedded.rows.tolist()
        numbers = index.image_numbers
        return embedded, DomainImages(
            name=named.name,
            features=embedded.features,
            labels=np.array([positions[index.label_indices[row]][0] for row in chosen], dtype=np.int64),
            image_numbers=None if numbers is None else np.array([numbers[row] for row in chosen]),
        )

    def _note_left_out(self, of: str, embedded: _Embedded) -> None:
        if reasons := replace(embedded, num_unreadable=0).left_out:  # each unreadable image is reported alone
            self.hooks.note(f"{of}: images are left out: {reasons}")

    def _measured_contents(self, known: MeasuredFeatures) -> Prefixes:
        """The contents of the images of this evaluation."""
        paths = image_paths(known.image_index, known.rows.tolist(), known.root)
        return image_prefixes(file_digests(paths, cache=self.cache, num_workers=self.num_workers, hooks=self.hooks))

    def _open_set(self, known: MeasuredFeatures) -> OpenSet | None:
        labels = known.measured.labels
        is_known = np.isin(labels, list(known.measured.id_labels))
        if not is_known.any():
            return None
        numbers = known.numbers
        first = np.zeros(len(numbers), dtype=np.bool_)  # the first row of each image
        first[np.unique(numbers, return_index=True)[1]] = True
        near = torch.from_numpy(first & ~is_known & ~np.isin(numbers, numbers[is_known]))
        unknown = [Unknown(kind="near", source=DATASET_UNKNOWNS, features=known.features[near])]
        if self.sets.far is not None:
            unknown.append(self._far(self.sets.far, known))
        return open_set(
            known.features[torch.from_numpy(is_known)],
            labels[is_known],
            known.targets,
            known.measured.id_labels,
            unknown,
            temperature=self.temperature,
            outliers=self.sets.outliers,
            threshold_among_all=known.threshold,
            image_numbers=numbers[is_known],
        )

    def _check_open_set(self, known: MeasuredFeatures) -> None:
        """Refuse sets of unknown things for which there are too few known images."""
        if self.sets.may_lack_images or (self.sets.far is None and self.sets.outliers is None):
            return
        is_known = np.isin(known.measured.labels, list(known.measured.id_labels))
        num_images = len(np.unique(known.numbers[is_known]))
        if num_images < none_of_these.MIN_IMAGES:
            raise FurtherSetUnfit(
                f"unknown images are told from known ones by at least {none_of_these.MIN_IMAGES} held-out images of "
                f"seen labels, and there are {num_images}: hold out more, or leave far and outliers out"
            )

    def _far(self, named: NamedImages, known: MeasuredFeatures) -> Unknown:
        """Images of things that are no label of the student's dataset."""
        index = named.image_index
        matcher = LabelMatcher(known.image_index.labels)
        is_known = [bool(matcher.find(name)) for name in index.labels]
        rows = [row for row, label in enumerate(index.label_indices) if label == NO_LABEL or not is_known[label]]
        num_of_labels = len(index.label_indices) - len(rows)
        rows = [rows[at] for at in evenly_spread(len(rows), MAX_UNKNOWN).tolist()]
        embedded = replace(self._embedded(named, rows, self._measured_contents(known)), num_known_labels=num_of_labels)
        if not len(embedded.rows):
            raise FurtherSetUnfit(
                f"{named.name} has no image of other things{_of_these(embedded)}: images of the labels, and those that "
                "the student was trained on, are not unknown; name images of other things, or leave it out"
            )
        self._note_left_out(f"far images of {named.name}", embedded)
        return Unknown(kind="far", source=named.name, features=embedded.features)

    def _embedded(self, named: NamedImages, rows: Sequence[int], own: Prefixes) -> _Embedded:
        """Features of the rows that can be decoded, were not trained on, and are not among the measured images.

        `own`: the contents of the measured images: a copy of one is neither in another style nor unknown.
        """
        if not len(rows):
            return _Embedded(features=torch.zeros(0, self.student.width), rows=np.zeros(0, dtype=np.int64))
        paths = image_paths(named.image_index, rows, named.root)
        images = decode_images(
            paths,
            eval_size(self.student.size, self.student.test_crop),
            cache=self.cache,
            num_workers=self.num_workers,
            background=self.student.background,
            interpolation=self.student.interpolation,
            hooks=self.hooks,
        )
        digests = file_digests(paths, cache=self.cache, num_workers=self.num_workers, hooks=self.hooks)
        readable = np.isin(np.arange(len(rows)), images.usable())
        is_trained_on = readable & self.sets.trained_on.contains(digests)
        is_measured = readable & ~is_trained_on & np.isin(image_prefixes(digests), own)
        usable = np.flatnonzero(readable & ~is_trained_on & ~is_measured)
        return _Embedded(
            features=student_features(self.student, images.pixels, usable, device=self.device, hooks=self.hooks),
            rows=np.array(rows, dtype=np.int64)[usable],
            num_unreadable=int((~readable).sum()),
            num_trained_on=int(is_trained_on.sum()),
            num_measured=int(is_measured.sum()),
        )

    def _corruptions(self, known: MeasuredFeatures) -> Corruptions | None:
        if not self.sets.corruption_images:
            return None
        numbers = known.numbers
        distinct = np.unique(numbers)
        chosen = np.isin(numbers, distinct[evenly_spread(len(distinct), self.sets.corruption_images)])
        return measure_corruptions(
            Classifier(
                student=self.student, targets=known.targets, labels=frozenset(range(len(known.image_index.labels)))
            ),
            None if self.sets.baseline is None else _classifier(self.sets.baseline, known.image_index.labels),
            CorruptedImages(
                paths=image_paths(known.image_index, known.rows[chosen].tolist(), known.root),
                labels=known.measured.labels[chosen],
                image_numbers=numbers[chosen],
                background=self.student.background,
            ),
            {"id": known.measured.id_labels, "ood": known.measured.ood_labels},
            cache=self.cache,
            device=self.device,
            num_workers=self.num_workers,
            hooks=self.hooks,
        )


def _of_these(embedded: _Embedded) -> str:
    """The reasons for an error message."""
    return f" ({embedded.left_out})" if embedded.left_out else ""


def _classifier(baseline: Baseline, labels: Sequence[str]) -> Classifier:
    """The baseline with a unit vector as the target of each of its labels."""
    output_of = {name: output for output, name in enumerate(baseline.labels)}
    targets = torch.zeros(len(labels), baseline.student.width)
    known = frozenset(at for at, name in enumerate(labels) if name in output_of)
    for at in known:
        targets[at, output_of[labels[at]]] = 1
    return Classifier(student=baseline.student, targets=targets, labels=known)
