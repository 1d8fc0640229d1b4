"""Evaluations during a training: of the last epochs, for the mean that the report contains, and of its checkpoints.

The checkpoints of a training are evaluated on held-out images of ID labels only, because people choose among them
(docs/decisions/0010-no-model-selection-on-test-data.md). N images, D embedding width.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from distill.config.train_config import TrainConfig
from distill.data.counter_rng import Ints
from distill.data.decoded_images import PixelArray, PixelRows, eval_size
from distill.data.image_index import ImageIndex
from distill.data.image_store import ImageConsumer, read_images
from distill.data.splits import PARTS
from distill.evaluation.accuracy import Evaluation, evaluate_features
from distill.evaluation.measured_images import (
    Measured,
    NoImages,
    evaluate_measured,
    evaluate_sets,
    evaluation_rows,
    image_paths,
    measured_rows,
)
from distill.evaluation.multi_label.measure import mean_precisions
from distill.hooks import PipelineHooks
from distill.json_types import Accuracies, EpochLine
from distill.student.features import student_features
from distill.student.model import Student
from distill.teacher.image_features import FeatureEncoder
from distill.teacher.teacher import Teacher
from distill.texts.student_texts import evaluation_inputs
from distill.texts.text_targets import TextTargets
from distill.texts.text_templates import TextKind
from distill.training.device import choose_device

_OOD = PARTS.index("ood")


@dataclass(frozen=True, eq=False, kw_only=True)
class _Images:
    """Decoded images: `rows` (N,) of `pixels`, `of_index`: of the index, and their labels in `measured`.

    `measured`: None of images with several labels.
    """

    pixels: PixelRows
    rows: Ints
    of_index: Ints
    measured: Measured | None


@dataclass(frozen=True, eq=False, kw_only=True)
class EpochEvaluation:
    """Evaluates students during a training; called as the hook `on_epoch`. `images`: None if nothing is evaluated."""

    config: TrainConfig
    image_index: ImageIndex
    teacher: Teacher
    targets: TextTargets
    text: TextKind
    images: _Images | None

    def __call__(self, epoch: int, student: Student, context: Tensor | None) -> EpochLine | None:
        """The accuracies after one of the last `measured_epochs` epochs, or the mean average precisions of images with
        several labels; None after another one."""
        images = self.images
        if images is None or epoch <= self.config.schedule.epochs - self.config.evaluation.measured_epochs:
            return None
        features = self._features(student, images, images.rows)
        index, targets = self._inputs(context)
        if images.measured is None:
            found = mean_precisions(features, images.of_index.tolist(), index, targets.features)
            means: Accuracies = {"id": found.id, "ood": found.ood, "harmonic_mean": found.harmonic_mean}
            return {"accuracy": means, "measure": "mean_ap"}
        temperature = self.config.objective.temperature
        return evaluate_measured(self.text, features, images.measured, index, targets, temperature).summary()

    def held_out(self, student: Student, context: Tensor | None) -> Evaluation:
        """The evaluation on the held-out images, among the ID labels; without results if there are no such images.

        No OOD image is evaluated. Leaves the student in evaluation mode on the training device.
        """
        nothing = Evaluation(text=self.text, id=None, ood=None, joint=None)
        images = self.images
        if images is None:
            return nothing
        is_id = np.array([self.image_index.part_codes[row] != _OOD for row in images.of_index], dtype=np.bool_)
        if not is_id.any():
            return nothing
        index, targets = self._inputs(context)
        features = self._features(student, images, images.rows[is_id])
        measured = images.measured
        if measured is None:
            return evaluate_sets(self.text, features, images.of_index[is_id].tolist(), index, targets)
        accuracy = evaluate_features(
            features,
            measured.labels[is_id],
            targets.features,
            measured.id_labels,
            names=index.labels,
            temperature=self.config.objective.temperature,
            image_numbers=None if measured.image_numbers is None else measured.image_numbers[is_id],
        )
        return replace(nothing, id=accuracy)

    def _features(self, student: Student, images: _Images, rows: Ints) -> Tensor:
        return student_features(student, images.pixels, rows, device=choose_device(self.config.system.device))

    def _inputs(self, context: Tensor | None) -> tuple[ImageIndex, TextTargets]:
        return evaluation_inputs(self.config, self.image_index, self.teacher, self.targets, context)


def measure_epochs(
    config: TrainConfig,
    image_index: ImageIndex,
    teacher: Teacher,
    targets: TextTargets,
    text: TextKind,
    *,
    cache: Path,
    root: Path | None = None,
    has_checkpoints: bool = False,
    hooks: PipelineHooks | None = None,
) -> EpochEvaluation:
    """A hook `on_epoch` that evaluates the student after each of the last `measured_epochs` epochs.

    Checks now what the final evaluation needs, so that an error does not end a training later. If epochs are evaluated,
    or the training `has_checkpoints`, decodes the images and encodes them with the teacher for the final evaluation.
    Unusable images are not reported, because the final evaluation reports them. Without images to measure on, nothing
    is measured. Raises NoImages, ImagesError, FewShotError, Stopped.
    """
    evaluated, _ = evaluation_inputs(config, image_index, teacher, targets, None)
    rows = evaluation_rows(evaluated, config.data.shots)
    if not rows and evaluation_rows(image_index, 0):
        raise NoImages("no image is left to evaluate on: hold out images of the seen labels, or keep labels unseen")
    images: _Images | None = None
    if rows and (config.evaluation.measured_epochs or has_checkpoints):
        images = _decode(config, evaluated, teacher, rows, cache=cache, root=root, hooks=hooks)
    return EpochEvaluation(
        config=config, image_index=image_index, teacher=teacher, targets=targets, text=text, images=images
    )


def _decode(
    config: TrainConfig,
    evaluated: ImageIndex,
    teacher: Teacher,
    rows: list[int],
    *,
    cache: Path,
    root: Path | None,
    hooks: PipelineHooks | None,
) -> _Images:
    quiet = replace(hooks or PipelineHooks(), on_bad_image=None, bad_images={})
    paths = image_paths(evaluated, rows, root)
    pixels = PixelArray(
        paths,
        eval_size(config.student.size, config.student.test_crop),
        cache=cache,
        num_workers=config.system.num_workers,
        decoded_gb=config.system.decoded_gb,
        background=config.data.background,
        interpolation=config.student.resize,
    )
    consumers: list[ImageConsumer] = [pixels]
    if config.data.protocol != "closed_set":  # the final evaluation compares the student with the teacher
        consumers.append(FeatureEncoder(teacher, paths, cache=cache, view="center", hooks=quiet))
    read_images(
        paths,
        consumers,
        cache=cache,
        num_workers=config.system.num_workers,
        hooks=quiet,
        background=config.data.background,
    )
    images = pixels.images(quiet)
    usable = images.usable()
    measured = None if evaluated.is_multi_label else measured_rows(evaluated, rows, usable, root)
    if not len(usable):
        raise NoImages(f"none of the {len(rows)} images to evaluate on can be used")
    of_index = np.array(rows, dtype=np.int64)[usable]
    return _Images(pixels=images.pixels, rows=usable, of_index=of_index, measured=measured)
