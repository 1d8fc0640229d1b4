"""Steps of a run, from an image index to a measured student; used by `python -m distill` and the service's workers.

Each step takes the results of the steps before it and a `PipelineHooks` for progress, stopping and unusable images. All
slow results are cached below one folder. N images, K labels, V teacher views, D embedding width.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from distill.config.loss_registry import required_inputs
from distill.config.train_config import TrainConfig
from distill.data.counter_rng import Ints
from distill.data.crops import Views, sample_shared_views
from distill.data.decoded_images import DecodedImages, PixelArray, eval_side_px, train_side_px
from distill.data.few_shot import exclude_rows, support_rows
from distill.data.image_index import ImageIndex
from distill.data.image_store import ImageConsumer, load_image, read_images
from distill.data.packed_strings import PackedPaths
from distill.data.row_cache import key_of
from distill.data.shards import is_member, shard_of
from distill.evaluation.accuracy import Evaluation, evaluate, evaluate_features
from distill.evaluation.tip_adapter import retrieval_scores, support_features, support_memory
from distill.hooks import PipelineHooks
from distill.json_types import EpochLine
from distill.student.features import student_features
from distill.student.model import Student
from distill.teacher.image_features import FeatureEncoder, image_features
from distill.teacher.teacher import Teacher
from distill.teacher.view_features import LiveTeacher, teacher_side_px, view_features
from distill.texts.student_texts import caption_features, evaluation_inputs, student_texts
from distill.texts.text_targets import TextTargets
from distill.texts.text_templates import TextKind
from distill.training.device import choose_device
from distill.training.hooks import OnEpoch
from distill.training.loader import TrainData

# For images to evaluate on; for training images, `system.decoded_gb` of the config is the limit.
DECODED_GB = 100.0


class NoImages(ValueError):
    """All images of a required part are unusable."""


@dataclass(frozen=True, kw_only=True)
class MeasureOptions:
    """Options of `measure_student`.

    `temperature`: of the training, used for the confidence. `shots`: first images of each OOD label that are excluded.
    `retrieve`: also measure few-shot retrieval from the excluded images; needs a teacher.
    """

    temperature: float
    shots: int = 0
    retrieve: bool = False
    device: str = "auto"
    num_workers: int = 4


def training_data(
    config: TrainConfig,
    image_index: ImageIndex,
    teacher: Teacher,
    targets: TextTargets,
    *,
    cache: Path,
    root: Path | None = None,
    captions: Path | None = None,
    hooks: PipelineHooks | None = None,
) -> TrainData:
    """The data of a training run: decoded training images, teacher features, texts and captions.

    `root`: folder of the images, if not the root of the index. `captions`: a caption set to use instead of the
    dataset's own. Unusable images are excluded.
    Raises NoImages, ImagesError, TeacherError, FewShotError, TextsError, Stopped.
    """
    hooks = hooks or PipelineHooks()
    few = _few_shot_rows(config, image_index)
    rows = [*image_index.part("train"), *few]
    texts = student_texts(config, image_index, teacher, targets)
    paths = _paths(image_index, rows, root)
    images, views = _images_and_views(config, teacher, paths, cache, hooks, num_labels=len(texts.labels))
    usable = np.setdiff1d(images.usable(), views.bad)
    if len(usable) < 2:
        raise NoImages(f"{len(usable)} of {len(paths)} training images can be used: at least two are needed")
    label_rows = {label: row for row, label in enumerate(texts.labels)}
    captioned = None
    if "captions" in required_inputs(config.objective.losses.above_zero()):
        folder = Path(image_index.root) if root is None else root
        relative = [image_index.paths[row] for row in rows]
        captioned = caption_features(teacher, folder, relative, given=captions, cache=cache, hooks=hooks)
    digests = {
        "dataset": image_index.digest,
        "pictures": images.digest,
        "teacher": teacher.digest,
        "texts": key_of(*(text for texts in targets.prompts for text in ("\0", *texts))).hex(),
    }
    if captioned is not None:
        digests["captions"] = captioned.digest
    return TrainData(
        pixels=images.pixels,
        labels=np.array([label_rows[image_index.label_indices[row]] for row in rows], dtype=np.int64),
        teacher=views.features,
        views=views.views,
        live=views.live,
        texts=texts.texts,
        unseen=texts.unseen,
        prompted=texts.prompted,
        captions=captioned.features if captioned else None,
        captioned=captioned.captioned if captioned else None,
        usable=usable.astype(np.int64),
        shards=_shard_numbers(image_index, rows),
        few=np.intersect1d(usable, np.arange(len(rows) - len(few), len(rows))).astype(np.int64),
        digests=digests,
    )


class _TeacherViews(NamedTuple):
    """Teacher features (N, V, D) of the `views` of N images, or a `live` teacher; `bad`: rows without features."""

    features: Tensor
    bad: Ints
    views: Views | None = None
    live: LiveTeacher | None = None


def _images_and_views(
    config: TrainConfig,
    teacher: Teacher,
    paths: Sequence[Path],
    cache: Path,
    hooks: PipelineHooks,
    *,
    num_labels: int,
) -> tuple[DecodedImages, _TeacherViews]:
    """The student's images and the teacher's part of the training data, from one pass over the files."""
    pixels = _pixel_array(config, paths, train_side_px(config.student.image_px), cache)
    read = partial(read_images, paths, cache=cache, num_workers=config.system.num_workers, hooks=hooks)
    if config.data.protocol == "closed_set":
        read([pixels])
        zeros = torch.zeros(1, 1, num_labels, dtype=torch.float16).expand(len(paths), -1, -1)
        return pixels.images(hooks), _TeacherViews(zeros, np.zeros(0, dtype=np.int64))
    if config.data.view in ("center", "squash"):
        encoder = FeatureEncoder(teacher, paths, cache=cache, view=config.data.view, hooks=hooks)
        read([pixels, encoder])
        whole = encoder.features()
        return pixels.images(hooks), _TeacherViews(whole.features[:, None].half(), np.flatnonzero(whole.bad.numpy()))
    teacher_px = teacher_side_px(teacher)
    if teacher_px == train_side_px(config.student.image_px):
        read([pixels])
        images = teacher_images = pixels.images(hooks)
    else:
        teacher_pixels = _pixel_array(config, paths, teacher_px, cache)
        read([pixels, teacher_pixels])
        images, teacher_images = pixels.images(hooks), teacher_pixels.images(hooks)
    return images, _views_of_crops(config, teacher, images, teacher_images, cache, hooks)


def _views_of_crops(
    config: TrainConfig,
    teacher: Teacher,
    images: DecodedImages,
    teacher_images: DecodedImages,
    cache: Path,
    hooks: PipelineHooks,
) -> _TeacherViews:
    """The teacher's features of the student's crops, or the live teacher that makes them. Bad images have zeros."""
    num_images, side_px = images.pixels.shape[:2]
    bad = np.setdiff1d(np.arange(num_images), teacher_images.usable())
    if config.data.view == "live":
        live = LiveTeacher(teacher, teacher_images.pixels)
        return _TeacherViews(torch.zeros(num_images, 0, teacher.width, dtype=torch.float16), bad, live=live)
    num_views = min(config.data.num_views, config.schedule.epochs * config.schedule.passes_per_epoch)
    views = sample_shared_views(
        config.system.seed, images.contents, num_views=num_views, side_px=side_px, augmentation=config.data.augmentation
    )
    features = view_features(
        teacher,
        teacher_images.pixels,
        teacher_images.contents,
        np.intersect1d(teacher_images.usable(), images.usable()),
        views,
        side_px=side_px,
        cache=cache,
        hooks=hooks,
    )
    return _TeacherViews(features, bad, views=views)


def measure_student(
    student: Student,
    image_index: ImageIndex,
    targets: TextTargets,
    text: TextKind,
    options: MeasureOptions,
    *,
    cache: Path,
    teacher: Teacher | None = None,
    root: Path | None = None,
    hooks: PipelineHooks | None = None,
) -> Evaluation:
    """Evaluate a student on the held-out and the OOD images.

    `teacher`: measure the agreement with this teacher, whose features are cached. Raises NoImages, ImagesError,
    TeacherError, FewShotError, Stopped.
    """
    hooks = hooks or PipelineHooks()
    rows = _evaluation_rows(image_index, options.shots)
    paths = _paths(image_index, rows, root)
    side_px = eval_side_px(student.image_px, student.test_crop)
    num_workers = options.num_workers
    pixels = PixelArray(paths, side_px, cache=cache, num_workers=num_workers, decoded_gb=DECODED_GB)
    encoder = None if teacher is None else FeatureEncoder(teacher, paths, cache=cache, view="center", hooks=hooks)
    consumers: list[ImageConsumer] = [pixels] if encoder is None else [pixels, encoder]
    read_images(paths, consumers, cache=cache, num_workers=num_workers, hooks=hooks)
    images = pixels.images(hooks)
    usable, teacher_features = images.usable(), None
    if encoder is not None:
        of_teacher = encoder.features()
        usable = np.setdiff1d(usable, np.flatnonzero(of_teacher.bad.numpy()))
        teacher_features = of_teacher.features[torch.from_numpy(usable)]
    features = student_features(student, images.pixels, usable, device=choose_device(options.device), hooks=hooks)
    labels = _labels(image_index, rows, usable)
    candidates = _candidates(image_index, labels, root)
    evaluation = _evaluate(
        text, features, labels, image_index, targets, options.temperature, candidates, teacher_features
    )
    if not options.retrieve or teacher is None:
        return evaluation
    unseen = np.isin(labels, image_index.ood_labels)
    if not unseen.any():
        raise NoImages("retrieval cannot be measured: no image of an unseen label can be used")
    support = support_rows(image_index, options.shots)
    of_support = support_features(teacher, _paths(image_index, support, root), seed=options.shots, hooks=hooks)
    memory = support_memory(of_support, [image_index.label_indices[row] for row in support], candidates.ood_labels)
    retrieval = evaluate_features(
        features[torch.from_numpy(unseen)],
        labels[unseen],
        targets.features,
        candidates.ood_labels,
        names=image_index.labels,
        temperature=options.temperature,
        extra=lambda normalised: retrieval_scores(normalised, memory),
    )
    return replace(evaluation, retrieval=retrieval)


def measure_epochs(
    config: TrainConfig,
    image_index: ImageIndex,
    teacher: Teacher,
    targets: TextTargets,
    text: TextKind,
    *,
    cache: Path,
    root: Path | None = None,
    hooks: PipelineHooks | None = None,
) -> OnEpoch:
    """A hook `on_epoch` that evaluates the student after each of the last `measured_epochs` epochs.

    Decodes the images now, so that an error does not end a training later, and encodes them with the teacher for the
    final evaluation. Unusable images are not reported, because the final evaluation reports them. Raises NoImages,
    ImagesError, FewShotError, Stopped.
    """
    if config.evaluation.measured_epochs == 0:
        return lambda _epoch, _student, _context: None
    quiet = replace(hooks or PipelineHooks(), on_bad_image=None, bad_images={})
    evaluated, _ = evaluation_inputs(config, image_index, teacher, targets, None)
    rows = _evaluation_rows(evaluated, config.data.shots)
    side_px = eval_side_px(config.student.image_px, config.student.test_crop)
    paths = _paths(evaluated, rows, root)
    pixels = _pixel_array(config, paths, side_px, cache)
    consumers: list[ImageConsumer] = [pixels]
    if config.data.protocol != "closed_set":  # the final evaluation compares the student with the teacher
        consumers.append(FeatureEncoder(teacher, paths, cache=cache, view="center", hooks=quiet))
    read_images(paths, consumers, cache=cache, num_workers=config.system.num_workers, hooks=quiet)
    images = pixels.images(quiet)
    usable, device = images.usable(), choose_device(config.system.device)
    labels = _labels(evaluated, rows, usable)
    candidates = _candidates(evaluated, labels, root)

    def on_epoch(epoch: int, student: Student, context: Tensor | None) -> EpochLine | None:
        if epoch <= config.schedule.epochs - config.evaluation.measured_epochs:
            return None
        features = student_features(student, images.pixels, usable, device=device)
        _, with_context = evaluation_inputs(config, image_index, teacher, targets, context)
        temperature = config.objective.temperature
        return _evaluate(text, features, labels, evaluated, with_context, temperature, candidates).summary()

    return on_epoch


def measure_teacher(
    teacher: Teacher,
    image_index: ImageIndex,
    targets: TextTargets,
    text: TextKind,
    *,
    cache: Path,
    root: Path | None = None,
    shots: int = 0,
    num_workers: int = 4,
    hooks: PipelineHooks | None = None,
) -> Evaluation:
    """Evaluate the teacher on the same images, as a baseline; its confidence uses its own logit scale.

    Raises NoImages, TeacherError, FewShotError, Stopped.
    """
    rows = _evaluation_rows(image_index, shots)
    of_teacher = image_features(
        teacher, _paths(image_index, rows, root), cache=cache, threads=num_workers, hooks=hooks or PipelineHooks()
    )
    usable = np.flatnonzero(~of_teacher.bad.numpy()).astype(np.int64)
    features = of_teacher.features[torch.from_numpy(usable)]
    labels = _labels(image_index, rows, usable)
    candidates = _candidates(image_index, labels, root)
    return _evaluate(text, features, labels, image_index, targets, 1 / teacher.logit_scale, candidates)


def _few_shot_rows(config: TrainConfig, image_index: ImageIndex) -> list[int]:
    """The rows of the few-shot images that are trained on. Raises FewShotError."""
    # Selected for every protocol, so that too many shots are an error before the training and not after it.
    support = support_rows(image_index, config.data.shots) if config.data.shots else []
    return support if config.data.protocol == "fine_tune" else []


def _shard_numbers(image_index: ImageIndex, rows: Sequence[int]) -> Ints | None:
    """The shard number (N,) of each image; None for images that are not in shards."""
    if not is_member(image_index.paths[rows[0]]):
        return None
    numbers: dict[str, int] = {}
    return np.array(
        [numbers.setdefault(shard_of(image_index.paths[row]), len(numbers)) for row in rows], dtype=np.int64
    )


def _evaluation_rows(image_index: ImageIndex, shots: int) -> list[int]:
    """The rows of held-out and OOD images, ascending, without the first `shots` images of each OOD label."""
    rows = sorted(image_index.part("held_out") + image_index.part("ood"))
    return exclude_rows(rows, support_rows(image_index, shots)) if shots else rows


def _labels(image_index: ImageIndex, rows: Sequence[int], usable: Ints) -> Ints:
    """The label index of each usable row. Raises NoImages if there is none."""
    if len(usable) == 0:
        raise NoImages(f"none of the {len(rows)} images to evaluate on can be used")
    return np.array([image_index.label_indices[row] for row in rows], dtype=np.int64)[usable]


class _Candidates(NamedTuple):
    """The ID and the OOD labels among which images are classified."""

    id_labels: tuple[int, ...]
    ood_labels: tuple[int, ...]


def _candidates(image_index: ImageIndex, measured: Ints, root: Path | None) -> _Candidates:
    """The labels with an image that can be decoded. `measured`: the labels of the images that are evaluated.

    The images of other labels are opened, until one can be decoded: a label whose files are all damaged was not trained
    on and cannot be an answer, and would make the chance level too low.
    """
    found = set(measured.tolist())
    for not_measured in (image_index.id_labels, image_index.ood_labels):
        if found.isdisjoint(not_measured):  # no image is classified among these labels
            found |= set(not_measured)
    doubtful: dict[int, list[int]] = {}
    for row, label in enumerate(image_index.label_indices):
        if label not in found:
            doubtful.setdefault(label, []).append(row)
    for label, rows in doubtful.items():
        if any(load_image(path).image is not None for path in _paths(image_index, rows, root)):
            found.add(label)
    return _Candidates(
        tuple(label for label in image_index.id_labels if label in found),
        tuple(label for label in image_index.ood_labels if label in found),
    )


def _paths(image_index: ImageIndex, rows: Sequence[int], root: Path | None) -> Sequence[Path]:
    return PackedPaths(Path(image_index.root) if root is None else root, image_index.paths, rows)


def _pixel_array(config: TrainConfig, paths: Sequence[Path], side_px: int, cache: Path) -> PixelArray:
    system = config.system
    return PixelArray(paths, side_px, cache=cache, num_workers=system.num_workers, decoded_gb=system.decoded_gb)


def _evaluate(
    text: TextKind,
    features: Tensor,
    labels: Ints,
    image_index: ImageIndex,
    targets: TextTargets,
    temperature: float,
    candidates: _Candidates,
    teacher_features: Tensor | None = None,
) -> Evaluation:
    return evaluate(
        text,
        features,
        labels,
        targets.features,
        names=image_index.labels,
        id_labels=candidates.id_labels,
        ood_labels=candidates.ood_labels,
        temperature=temperature,
        teacher_features=teacher_features,
    )
