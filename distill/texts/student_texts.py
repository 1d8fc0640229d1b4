"""What a student is told in words: the texts of the labels it learns, and the captions of its images.

The ID labels' texts alone, unless few-shot images or the term `unseen` bring in the OOD ones; behind learned vectors
where the config wants them; a unit vector for each label where it is to be a plain classifier.
N images, K labels learned, U labels told of without an image, D embedding width.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from distill.config.loss_registry import required_inputs
from distill.config.train_config import TrainConfig
from distill.data.image_index import ImageIndex
from distill.data.row_cache import key_of
from distill.hooks import PipelineHooks
from distill.teacher.teacher import Teacher
from distill.texts.captions import read_captions
from distill.texts.prompt_learning import PromptedTexts, with_context
from distill.texts.text_targets import TextTargets, encode_text_targets
from distill.texts.text_templates import TextsError


@dataclass(frozen=True, eq=False, kw_only=True)
class StudentTexts:
    """`labels`: the K labels of the manifest that are learned, by position; the rest as in `TrainData`."""

    labels: tuple[int, ...]
    texts: Tensor
    unseen: Tensor | None = None
    prompted: PromptedTexts | None = None


def student_texts(config: TrainConfig, image_index: ImageIndex, teacher: Teacher, targets: TextTargets) -> StudentTexts:
    """The texts of a run. Raises TextsError for labels without an unseen one where `unseen` has a weight."""
    few_shot = config.data.protocol == "fine_tune"
    labels = (*image_index.id_labels, *image_index.ood_labels) if few_shot else image_index.id_labels
    # But for the term that is about them, the student is never told of labels unseen, not even as wrong answers.
    unseen = (
        image_index.ood_labels
        if "unseen" in required_inputs(config.objective.losses.above_zero()) and not few_shot
        else ()
    )
    if "unseen" in required_inputs(config.objective.losses.above_zero()) and not unseen:
        raise TextsError("losses.unseen has a weight, and no label is left unseen: set it to 0")
    if config.data.protocol == "closed_set":
        return StudentTexts(labels=labels, texts=torch.eye(len(labels)))
    prompts = [targets.prompts[at] for at in (*labels, *unseen)]
    return StudentTexts(
        labels=labels,
        texts=targets.features[list(labels)],
        unseen=targets.features[list(unseen)] if unseen else None,
        prompted=PromptedTexts(teacher, prompts, config.objective.context_tokens)
        if config.objective.context_tokens
        else None,
    )


def targets_with_context(teacher: Teacher | None, targets: TextTargets, context: Tensor | None) -> TextTargets:
    """The targets as a student with the learned `context` hears them; they themselves where it learned none."""
    if context is None:
        return targets
    if teacher is None:
        raise TypeError("learned vectors are read by the teacher's text tower")
    return with_context(teacher, targets, context)


def evaluation_inputs(
    config: TrainConfig, image_index: ImageIndex, teacher: Teacher | None, targets: TextTargets, context: Tensor | None
) -> tuple[ImageIndex, TextTargets]:
    """What a student of `config` is measured on: all images, and the targets as it hears them.

    A plain classifier is asked about no unseen label, and each of the others has a unit vector in the place of its
    text.
    """
    if config.data.protocol != "closed_set":
        return image_index, targets_with_context(teacher, targets, context)
    features = torch.zeros(len(image_index.labels), len(image_index.id_labels))
    features[list(image_index.id_labels)] = torch.eye(len(image_index.id_labels))
    seen = ImageIndex.of(image_index.root, image_index.labels, (item for item in image_index if item.part != "ood"))
    return seen, replace(targets, features=features)


@dataclass(frozen=True, eq=False, kw_only=True)
class CaptionFeatures:
    """`features` (N, D) of the images that are `captioned` (N,) bool, zeros else; `digest` of all captions."""

    features: Tensor
    captioned: Tensor
    digest: str


def caption_features(
    teacher: Teacher,
    root: Path,
    paths: Sequence[str],
    *,
    given: Path | None,
    cache: Path,
    hooks: PipelineHooks | None = None,
) -> CaptionFeatures:
    """What the teacher makes of the images' captions. Raises TextsError where no image has one, and Stopped."""
    said = read_captions(root, paths, given)
    at = [row for row, text in enumerate(said) if text is not None]
    if not at:
        raise TextsError(
            f"losses.cap has a weight, and none of {len(paths)} images has a caption: give a caption set, "
            "put captions.json into the dataset's folder or a .txt beside each image, or set losses.cap to 0"
        )
    encoded = encode_text_targets(
        teacher,
        [[text] for text in said if text is not None],
        cache=cache,
        hooks=hooks,
    )
    features, captioned = torch.zeros(len(said), teacher.width), torch.zeros(len(said), dtype=torch.bool)
    features[at], captioned[at] = encoded.features, True
    return CaptionFeatures(
        features=features, captioned=captioned, digest=key_of(*(text or "\0" for text in said)).hex()
    )
