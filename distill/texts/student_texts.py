"""Texts for training and evaluating a student: text features of labels, and caption features of images.

Training uses the texts of the ID labels, plus those of OOD labels for few-shot images or the loss term `unseen`. They
are preceded by learned vectors if the config has them. The closed-set baseline gets a unit vector per label instead.
N images, K trained labels, U unseen labels with texts but no images, D embedding width.
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
    """`labels`: positions in the image index of the K trained labels. Other fields as in `TrainData`."""

    labels: tuple[int, ...]
    texts: Tensor
    unseen: Tensor | None = None
    prompted: PromptedTexts | None = None


def student_texts(config: TrainConfig, image_index: ImageIndex, teacher: Teacher, targets: TextTargets) -> StudentTexts:
    """The texts for training. Raises TextsError if `losses.unseen` has a weight but there are no unseen labels."""
    few_shot = config.data.trains_on_shots
    labels = (*image_index.id_labels, *image_index.ood_labels) if few_shot else image_index.id_labels
    # Without the term `unseen`, texts of unseen labels are not used in training, not even as negatives.
    needs_unseen = "unseen" in required_inputs(config.objective.losses.above_zero())
    unseen = image_index.ood_labels if needs_unseen and not few_shot else ()
    if needs_unseen and not unseen:
        raise TextsError("losses.unseen has a weight, but there are no unseen labels: set it to 0")
    if config.data.protocol == "closed_set":
        return StudentTexts(labels=labels, texts=torch.eye(len(labels)))
    prompts = [targets.prompts[at] for at in (*labels, *unseen)]
    return StudentTexts(
        labels=labels,
        texts=targets.features[list(labels)],
        unseen=targets.features[list(unseen)] if unseen else None,
        prompted=PromptedTexts(
            teacher, prompts, config.objective.context_tokens, second_stop=config.objective.second_stop
        )
        if config.objective.context_tokens
        else None,
    )


def targets_with_context(
    teacher: Teacher | None, targets: TextTargets, context: Tensor | None, *, second_stop: bool = False
) -> TextTargets:
    """The targets with the learned `context` (M, W) before their words; unchanged if it is None."""
    if context is None:
        return targets
    if teacher is None:
        raise TypeError("learned vectors need the teacher's text tower: pass the teacher")
    return with_context(teacher, targets, context, second_stop=second_stop)


def evaluation_inputs(
    config: TrainConfig, image_index: ImageIndex, teacher: Teacher | None, targets: TextTargets, context: Tensor | None
) -> tuple[ImageIndex, TextTargets]:
    """The images and text targets for evaluating a student of `config`; the targets include the learned `context`.

    In the closed-set baseline each trained label has a unit vector as its target. It is evaluated without OOD images,
    unless it was trained on some of them.
    """
    if config.data.protocol != "closed_set":
        second_stop = config.objective.second_stop
        return image_index, targets_with_context(teacher, targets, context, second_stop=second_stop)
    trained = [*image_index.id_labels, *(image_index.ood_labels if config.data.trains_on_shots else ())]
    features = torch.zeros(len(image_index.labels), len(trained))
    features[trained] = torch.eye(len(trained))
    if config.data.trains_on_shots:
        return image_index, replace(targets, features=features)
    without_ood = ImageIndex.of(
        image_index.root, image_index.labels, (item for item in image_index if item.part != "ood")
    )
    return without_ood, replace(targets, features=features)


@dataclass(frozen=True, eq=False, kw_only=True)
class CaptionFeatures:
    """`features` (N, D), zeros for images that are not `captioned` (N,) bool. `digest`: of all captions."""

    features: Tensor
    captioned: Tensor
    digest: str


def caption_features(
    teacher: Teacher,
    root: Path,
    paths: Sequence[str],
    *,
    given: Path | None,
    listed: Sequence[str] | None = None,
    cache: Path,
    hooks: PipelineHooks | None = None,
) -> CaptionFeatures:
    """The teacher's text features of the images' captions (`read_captions`).

    Raises TextsError if no image has a caption, and Stopped.
    """
    captions = read_captions(root, paths, given, listed)
    at = [row for row, text in enumerate(captions) if text is not None]
    if not at:
        raise TextsError(
            f"losses.cap has a weight, but none of {len(paths)} images has a caption: give a caption set, "
            "a table with a column of captions, captions.json in the dataset's folder or a .txt next to each image, or "
            "set losses.cap to 0"
        )
    encoded = encode_text_targets(
        teacher,
        [[text] for text in captions if text is not None],
        cache=cache,
        hooks=hooks,
    )
    features, captioned = torch.zeros(len(captions), teacher.width), torch.zeros(len(captions), dtype=torch.bool)
    features[at], captioned[at] = encoded.features, True
    return CaptionFeatures(
        features=features, captioned=captioned, digest=key_of(*(text or "\0" for text in captions)).hex()
    )
