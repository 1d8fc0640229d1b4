"""Runs the measurement: image features, texts of every arm, accuracies, gains, the verdict. K labels, D width."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from distill.benefit.arms import TextArm, build_arms
from distill.benefit.metrics import (
    PARTS,
    ArmResult,
    EvaluationImages,
    Hits,
    Part,
    compare_arm,
    label_gains,
    measure_hits,
    verdict,
)
from distill.benefit.phrase_filter import PhraseFilterResult, class_prototypes, contradicted_phrases, drop_phrases
from distill.config.multi_label import check_one_label
from distill.data.counter_rng import Ints
from distill.data.image_index import ImageIndex
from distill.hooks import PipelineHooks
from distill.json_types import BenefitReportJSON
from distill.pipeline import NoImages
from distill.teacher.image_features import image_features
from distill.teacher.teacher import Teacher
from distill.texts.text_targets import TextTargets, encode_text_targets
from distill.texts.text_templates import LabelAttributes, render

NAMES, CONTROL = "names", "waffle"


@dataclass(frozen=True, kw_only=True)
class ArmReport:
    """The results of an arm; `id` or `ood` is None if that part has no images."""

    name: str
    role: str
    num_texts: int
    id: ArmResult | None
    ood: ArmResult | None


@dataclass(frozen=True, kw_only=True)
class BenefitReport:
    """The results of all arms. `chosen`: the arm of the verdict, the best one on held-out images of seen labels.

    `label_gains`: of the chosen arm, by part and by reference arm (`names`, `waffle`): label -> gain in accuracy.
    `num_images`, `num_labels`, `chance`: by part. `filtered`: None unless phrases were to be filtered.
    """

    teacher: str
    concept: str
    seeds: tuple[int, ...]
    num_images: dict[str, int]
    num_labels: dict[str, int]
    chance: dict[str, float]
    arms: tuple[ArmReport, ...]
    chosen: str
    verdict: str
    label_gains: dict[str, dict[str, dict[str, float]]]
    num_shortened: int
    filtered: PhraseFilterResult | None = None

    def as_json(self) -> BenefitReportJSON:
        """The report in JSON types; the labels in `filtered.dropped` become strings."""
        report = asdict(self)
        if self.filtered is not None:
            report["filtered"]["dropped"] = {str(label): texts for label, texts in self.filtered.dropped.items()}
        return cast(BenefitReportJSON, report)


@dataclass(frozen=True, kw_only=True)
class _FeatureSource:
    """Encodes images and texts with the teacher, through the cache."""

    teacher: Teacher
    image_index: ImageIndex
    cache: Path
    root: Path
    hooks: PipelineHooks

    def images(self, rows: Sequence[int]) -> tuple[Tensor, Ints]:
        """Features (N, D) and labels (N,) of the usable images at `rows`."""
        encoded = image_features(
            self.teacher,
            [self.root / self.image_index.paths[row] for row in rows],
            cache=self.cache,
            hooks=self.hooks,
        )
        labels = np.array([self.image_index.label_indices[row] for row in rows], dtype=np.int64)
        return encoded.features[~encoded.bad], labels[~encoded.bad.numpy()]

    def evaluation_images(self, part: Part) -> EvaluationImages | None:
        """The usable images of a part; None if there are none."""
        index = self.image_index
        features, labels = self.images(index.part("held_out" if part == "id" else "ood"))
        if len(labels) == 0:
            return None
        subset = index.id_labels if part == "id" else index.ood_labels
        return EvaluationImages(features=features, labels=labels, subset=subset)

    def texts(self, texts: Sequence[Sequence[str]], *, show_progress: bool = True) -> TextTargets:
        """Text features, one row for each element of `texts`."""
        hooks = self.hooks if show_progress else replace(self.hooks, on_progress=None)
        return encode_text_targets(self.teacher, texts, cache=self.cache, hooks=hooks)


def measure_benefit(
    teacher: Teacher,
    image_index: ImageIndex,
    attributes: Sequence[LabelAttributes],
    *,
    cache: Path,
    concept: str = "",
    seeds: Sequence[int] = (0, 1, 2),
    filter_phrases: bool = False,
    root: Path | None = None,
    hooks: PipelineHooks | None = None,
) -> BenefitReport:
    """Measure every arm. `attributes`: one per label of the image index, in its order.

    `seeds`: one sample of each random control per seed. `filter_phrases`: also look for phrases that the training
    images contradict. Raises NoImages, ValueError for a set without attributes, MultiLabelUnfit, TeacherError, Stopped.
    """
    check_one_label(image_index.is_multi_label, "the measurement of attributes")
    source = _FeatureSource(
        teacher=teacher,
        image_index=image_index,
        cache=cache,
        root=Path(image_index.root) if root is None else root,
        hooks=hooks or PipelineHooks(),
    )
    arms = build_arms(image_index.labels, attributes, concept=concept, seeds=seeds)
    images = {part: found for part in PARTS if (found := source.evaluation_images(part)) is not None}
    if not images:
        raise NoImages("no held-out image and no image of an unseen label is usable: there is nothing to measure on")
    hits, num_shortened = _measure_arms(arms, images, source)
    results = {arm.name: _arm_results(arm.name, hits, images) for arm in arms}
    chosen = _choose_arm(arms, results, "id" if "id" in images else "ood")
    judged: Part = "ood" if "ood" in images else "id"
    over_control = results[chosen][judged].over_control
    assert over_control is not None
    return BenefitReport(
        teacher=teacher.ref,
        concept=concept,
        seeds=tuple(seeds),
        num_images={part: len(one.labels) for part, one in images.items()},
        num_labels={part: len(one.subset) for part, one in images.items()},
        chance={part: 1 / len(one.subset) for part, one in images.items()},
        arms=tuple(_arm_report(arm, results[arm.name]) for arm in arms),
        chosen=chosen,
        verdict=verdict(chosen, judged, over_control),
        label_gains=_label_gains(chosen, hits, images, image_index.labels),
        num_shortened=num_shortened,
        filtered=_filter_phrases(source, attributes, images.get("id")) if filter_phrases else None,
    )


def _measure_arms(
    arms: Sequence[TextArm], images: Mapping[Part, EvaluationImages], source: _FeatureSource
) -> tuple[dict[str, dict[Part, Hits]], int]:
    """Hits by arm and part, and the number of shortened texts (of the first sample of each arm)."""
    hits: dict[str, dict[Part, Hits]] = {}
    num_shortened = 0
    for arm in arms:
        encoded = [source.texts(texts) for texts in arm.samples]
        num_shortened += len(encoded[0].truncated)
        features = [targets.features for targets in encoded]
        hits[arm.name] = {part: measure_hits(one, features) for part, one in images.items()}
    return hits, num_shortened


def _arm_results(
    arm: str, hits: Mapping[str, Mapping[Part, Hits]], images: Mapping[Part, EvaluationImages]
) -> dict[Part, ArmResult]:
    return {
        part: compare_arm(
            hits[arm][part], hits[NAMES][part], None if arm == CONTROL else hits[CONTROL][part], one.labels
        )
        for part, one in images.items()
    }


def _choose_arm(arms: Sequence[TextArm], results: Mapping[str, Mapping[Part, ArmResult]], part: Part) -> str:
    """The attribute arm with the highest accuracy on a part."""
    names = (arm.name for arm in arms if arm.role == "attributes")
    return max(names, key=lambda name: results[name][part].accuracy)


def _label_gains(
    chosen: str,
    hits: Mapping[str, Mapping[Part, Hits]],
    images: Mapping[Part, EvaluationImages],
    names: Sequence[str],
) -> dict[str, dict[str, dict[str, float]]]:
    """Gain of each label with the chosen arm over the names and over the control, by part."""
    return {
        part: {
            other: label_gains(hits[chosen][part], hits[other][part], one.labels, names) for other in (NAMES, CONTROL)
        }
        for part, one in images.items()
    }


def _arm_report(arm: TextArm, results: Mapping[Part, ArmResult]) -> ArmReport:
    return ArmReport(
        name=arm.name,
        role=arm.role,
        num_texts=sum(map(len, arm.samples[0])),
        id=results.get("id"),
        ood=results.get("ood"),
    )


def _filter_phrases(
    source: _FeatureSource, attributes: Sequence[LabelAttributes], held_out: EvaluationImages | None
) -> PhraseFilterResult:
    """The phrases that the training images contradict, unless held-out accuracy would fall without them."""
    with_phrases = [label for label in source.image_index.id_labels if attributes[label].phrases]
    if held_out is None or not with_phrases:
        reason = "no seen label has phrases" if held_out else "there is no held-out image to test it on"
        return PhraseFilterResult(dropped={}, before=0.0, after=0.0, refused=reason)
    names = source.image_index.labels
    texts = [
        render("phrases", name, LabelAttributes(phrases=own.phrases))
        for name, own in zip(names, attributes, strict=True)
    ]

    def encode(prompts: Sequence[Sequence[str]]) -> Tensor:
        return source.texts(prompts, show_progress=False).features

    images, labels = source.images(source.image_index.part("train"))
    bare_names = encode([render("names", name, LabelAttributes()) for name in names])  # (K, D)
    encoded = encode([[text] for label in with_phrases for text in texts[label]])
    phrases = dict(zip(with_phrases, torch.split(encoded, [len(texts[label]) for label in with_phrases]), strict=True))
    dropped = contradicted_phrases(class_prototypes(images, labels), bare_names, phrases)
    before, after = (measure_hits(held_out, [encode(each)]).draws[0] for each in (texts, drop_phrases(texts, dropped)))
    if after < before:
        reason = f"held-out accuracy would fall from {before:.1%} to {after:.1%}"
        return PhraseFilterResult(dropped={}, before=before, after=after, refused=reason)
    dropped_texts = {label: [texts[label][index] for index in indices] for label, indices in dropped.items()}
    return PhraseFilterResult(dropped=dropped_texts, before=before, after=after)
