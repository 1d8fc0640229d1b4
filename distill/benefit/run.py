"""The proof from beginning to end: the images' features, every arm's texts, accuracies, gains, the verdict."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
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
from distill.data.image_index import ImageIndex
from distill.hooks import PipelineHooks
from distill.pipeline import NoImages
from distill.teacher.image_features import image_features
from distill.teacher.teacher import Teacher
from distill.texts.text_targets import encode_text_targets
from distill.texts.text_templates import LabelAttributes, render

NAMES, CONTROL = "names", "waffle"


@dataclass(frozen=True, kw_only=True)
class ArmReport:
    """An arm on every part that has images; `None` for one that has none."""

    name: str
    role: str
    num_texts: int
    id: ArmResult | None
    ood: ArmResult | None


@dataclass(frozen=True, kw_only=True)
class BenefitReport:
    """What was found. `chosen`: the arm the verdict is about, the best on held-out images of seen labels.

    `label_gains`: of that arm, by part and by what it is held against (`names`, `waffle`), label → gain in accuracy.
    `num_images`, `num_labels`, `chance`: by part. `filtered`: where filtering of phrases was asked for.
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

    def as_json(self) -> dict[str, Any]:
        """Of JSON's types alone, labels in `filtered` as keys of text."""
        said = asdict(self)
        if self.filtered is not None:
            said["filtered"]["dropped"] = {str(label): texts for label, texts in self.filtered.dropped.items()}
        return said


def measure_benefit(
    teacher: Teacher,
    image_index: ImageIndex,
    said: Sequence[LabelAttributes],
    *,
    cache: Path,
    concept: str = "",
    seeds: Sequence[int] = (0, 1, 2),
    filter_phrases: bool = False,
    root: Path | None = None,
    watch: PipelineHooks | None = None,
) -> BenefitReport:
    """Measure every arm. `said`: what the set says of each label of the manifest, in its order.

    `seeds`: of the controls, in which there is chance. `filter_phrases`: look also for phrases that the training images
    speak against. Raises NoImages, ValueError for a set that says nothing, TeacherError, Stopped.
    """
    watch = watch or PipelineHooks()
    ways = build_arms(image_index.labels, said, concept=concept, seeds=seeds)
    looked = {part: _images(teacher, image_index, part, cache, root, watch) for part in PARTS}
    images = {part: given for part, given in looked.items() if given is not None}
    if not images:
        raise NoImages("no held-out image and none of an unseen label can be used: there is nothing to measure on")
    found: dict[str, dict[Part, Hits]] = {}
    num_shortened = 0
    for way in ways:
        targets, shortened = _targets(teacher, way, cache, watch)
        num_shortened += shortened
        found[way.name] = {part: measure_hits(given, targets) for part, given in images.items()}
    results = {way.name: _results(way, found, images) for way in ways}
    choosing: Part = "id" if "id" in images else "ood"
    judged: Part = "ood" if "ood" in images else "id"
    chosen = max(
        (way.name for way in ways if way.role == "attributes"), key=lambda name: results[name][choosing].accuracy
    )
    over = results[chosen][judged].over_control
    assert over is not None
    return BenefitReport(
        teacher=teacher.ref,
        concept=concept,
        seeds=tuple(seeds),
        num_images={part: len(given.labels) for part, given in images.items()},
        num_labels={part: len(given.subset) for part, given in images.items()},
        chance={part: 1 / len(given.subset) for part, given in images.items()},
        arms=tuple(
            ArmReport(
                name=way.name,
                role=way.role,
                num_texts=sum(map(len, way.drawn[0])),
                id=results[way.name].get("id"),
                ood=results[way.name].get("ood"),
            )
            for way in ways
        ),
        chosen=chosen,
        verdict=verdict(chosen, judged, over),
        label_gains={
            part: {
                other: label_gains(found[chosen][part], found[other][part], given.labels, image_index.labels)
                for other in (NAMES, CONTROL)
            }
            for part, given in images.items()
        },
        num_shortened=num_shortened,
        filtered=_filtered(teacher, image_index, said, images, cache, root, watch) if filter_phrases else None,
    )


def _images(
    teacher: Teacher, image_index: ImageIndex, part: Part, cache: Path, root: Path | None, watch: PipelineHooks
) -> EvaluationImages | None:
    rows = image_index.part("held_out" if part == "id" else "ood")
    features, labels = _features(teacher, image_index, rows, cache, root, watch)
    if len(labels) == 0:
        return None
    return EvaluationImages(
        features=features, labels=labels, subset=image_index.id_labels if part == "id" else image_index.ood_labels
    )


def _features(
    teacher: Teacher, image_index: ImageIndex, rows: Sequence[int], cache: Path, root: Path | None, watch: PipelineHooks
) -> tuple[Tensor, np.ndarray[Any, np.dtype[np.int64]]]:
    """The teacher's features of the usable ones of the images at `rows`, and their labels."""
    start = Path(image_index.root) if root is None else root
    taught = image_features(
        teacher,
        [start / image_index.paths[row] for row in rows],
        cache=cache,
        hooks=watch,
    )
    labels = np.array([image_index.label_indices[row] for row in rows], dtype=np.int64)
    return taught.features[~taught.bad], labels[~taught.bad.numpy()]


def _targets(teacher: Teacher, way: TextArm, cache: Path, watch: PipelineHooks) -> tuple[list[Tensor], int]:
    """Text features (K, D) of each of the arm's draws, and how many texts of the first were too long."""
    encoded = [encode_text_targets(teacher, texts, cache=cache, hooks=watch) for texts in way.drawn]
    return [targets.features for targets in encoded], len(encoded[0].truncated)


def _results(
    way: TextArm, found: dict[str, dict[Part, Hits]], images: dict[Part, EvaluationImages]
) -> dict[Part, ArmResult]:
    return {
        part: compare_arm(
            found[way.name][part],
            found[NAMES][part],
            None if way.name == CONTROL else found[CONTROL][part],
            given.labels,
        )
        for part, given in images.items()
    }


def _filtered(
    teacher: Teacher,
    image_index: ImageIndex,
    said: Sequence[LabelAttributes],
    images: dict[Part, EvaluationImages],
    cache: Path,
    root: Path | None,
    watch: PipelineHooks,
) -> PhraseFilterResult:
    if "id" not in images:
        return PhraseFilterResult(
            dropped={}, before=0.0, after=0.0, refused="there is no held-out image to judge it by"
        )
    own = {at: said[at].phrases for at in image_index.id_labels if said[at].phrases}
    texts = {
        at: render("phrases", image_index.labels[at], LabelAttributes(phrases=phrases)) for at, phrases in own.items()
    }
    if not texts:
        return PhraseFilterResult(dropped={}, before=0.0, after=0.0, refused="no seen label has phrases")

    def encoded(prompts: Sequence[Sequence[str]]) -> Tensor:
        return encode_text_targets(
            teacher, prompts, cache=cache, hooks=PipelineHooks(should_stop=watch.should_stop)
        ).features

    features, labels = _features(teacher, image_index, image_index.part("train"), cache, root, watch)
    names = encoded([render("names", label, LabelAttributes()) for label in image_index.labels])
    alone = encoded([[text] for told in texts.values() for text in told])
    starts = np.concatenate([[0], np.cumsum([len(told) for told in texts.values()])])
    phrases = {at: alone[starts[place] : starts[place + 1]] for place, at in enumerate(texts)}
    dropped = contradicted_phrases(class_prototypes(features, labels), names, phrases)
    every = [
        render("phrases", label, LabelAttributes(phrases=one.phrases))
        for label, one in zip(image_index.labels, said, strict=True)
    ]
    before, after = (
        measure_hits(images["id"], [encoded(told)]).draws[0] for told in (every, drop_phrases(every, dropped))
    )
    refused = f"held-out accuracy would fall from {before:.1%} to {after:.1%}" if after < before else ""
    gone = {} if refused else {label: [texts[label][at] for at in places] for label, places in dropped.items()}
    return PhraseFilterResult(dropped=gone, before=before, after=after, refused=refused)
