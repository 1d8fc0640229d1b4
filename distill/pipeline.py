"""Steps of a run, from an image index to a measured student; used by `python -m distill` and the service's workers.

Each step takes the results of the steps before it and a `PipelineHooks` for progress, stopping and unusable images. All
slow results are cached below one folder. N images, K labels, V teacher views, D embedding width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distill.bundle.preflight import BundleTrial, check_disk, try_bundle
from distill.bundle.student_files import StudentWeights
from distill.config.loss_registry import check_unlabelled_used, required_inputs
from distill.config.multi_label import check_multi_label, check_multi_label_measures
from distill.config.train_config import TrainConfig
from distill.data.columns.label_sets import LabelSets
from distill.data.counter_rng import Ints
from distill.data.dataset.trained_on import Prefixes, TrainedOn, image_prefixes
from distill.data.decoded_images import PixelArray, eval_size
from distill.data.few_shot import support_rows
from distill.data.image_files.location import container_of
from distill.data.image_index import ImageIndex
from distill.data.image_store import UNREADABLE, ImageConsumer, file_digests, read_images
from distill.data.row_cache import key_of
from distill.data.splits import LABEL_SET, NO_LABEL
from distill.evaluation.accuracy import Evaluation, evaluate_features
from distill.evaluation.further import FurtherMeasurement, FurtherSets, MeasuredFeatures
from distill.evaluation.measured_images import NoImages as NoImages
from distill.evaluation.measured_images import (
    evaluate_measured,
    evaluate_sets,
    evaluation_rows,
    image_paths,
    measured_rows,
)
from distill.evaluation.none_of_these import none_of_these
from distill.evaluation.open_set.thresholds import thresholds_by_score
from distill.evaluation.samples import Predicted
from distill.evaluation.tip_adapter import retrieval_scores, support_features, support_memory
from distill.hooks import PipelineHooks
from distill.image_encoding import chosen_unlabelled, few_shot_rows, tuned_teacher_map
from distill.losses.label_matrix import needs_teacher_offset, teacher_offset
from distill.student.features import student_features
from distill.student.init_from_bundle import InitialStudentError
from distill.student.model import Student, configured_student
from distill.teacher.image_features import FeatureEncoder, image_features
from distill.teacher.teacher import Teacher
from distill.texts.student_texts import caption_features, student_texts
from distill.texts.text_bank import BankTexts, text_banks
from distill.texts.text_targets import TextTargets
from distill.texts.text_templates import TextKind
from distill.training.device import choose_device
from distill.training.loader import TrainData
from distill.training_images import images_and_views
from limbeck.shared.images.background import WHITE

# For images to evaluate on; for training images, `system.decoded_gb` of the config is the limit.
DECODED_GB = 100.0


@dataclass(frozen=True, kw_only=True)
class MeasureOptions:
    """Options of `measure_student`.

    `temperature`: of the training, used for the confidence. `shots`: first images of each OOD label that are excluded.
    `retrieve`: also measure few-shot retrieval from the excluded images; needs a teacher. `further`: what to measure
    beside the accuracies; None for nothing.
    """

    temperature: float
    shots: int = 0
    retrieve: bool = False
    further: FurtherSets | None = None
    device: str = "auto"
    num_workers: int = 4


def bundle_weights(student: Student) -> StudentWeights:
    """The student as the bundle stores it."""
    return StudentWeights(
        name=student.name,
        width=student.width,
        state=student.model.state_dict(),
        preprocess=student.preprocess(),
        model_args=student.model_args,
    )


def check_bundle(
    config: TrainConfig, teacher: Teacher, *, num_labels: int, cache: Path, scratch: Path, root: Path | None = None
) -> BundleTrial | None:
    """Try the bundle of the config's student before its training; None for a student that gets no bundle.

    `scratch`: an existing folder on the disk of the training state and the bundle. `root`: the folder below which the
    weights of the config must lie. Raises StudentError, BundleError for
    a student that cannot be bundled, and OSError for a disk without space for them.
    """
    # A closed-set classifier is only a baseline: without text targets there is no pairing to bundle.
    if config.data.protocol == "closed_set":
        return None
    student = bundle_weights(
        configured_student(
            config.student,
            width=teacher.width,
            seed=config.system.seed,
            root=root,
            initialise=False,
            background=config.data.background,
        )
    )
    check_disk(scratch, student, teacher, num_labels=num_labels, files=config.bundle)
    return try_bundle(student, teacher, cache=cache, scratch=scratch, files=config.bundle)


def training_data(
    config: TrainConfig,
    image_index: ImageIndex,
    teacher: Teacher,
    targets: TextTargets,
    *,
    cache: Path,
    root: Path | None = None,
    captions: Path | None = None,
    phrases: BankTexts | None = None,
    hooks: PipelineHooks | None = None,
) -> TrainData:
    """The data of a training run: decoded training images, teacher features, texts and captions.

    `root`: folder of the images, if not the root of the index. `captions`: a caption set to use instead of the
    dataset's own. `phrases`: of each label, for the loss term `phrase_kl`. Unusable images are excluded.
    Raises NoImages, ImagesError, TeacherError, FewShotError, TextsError, UnlabelledUnused, MultiLabelUnfit, Stopped.
    """
    hooks = hooks or PipelineHooks()
    if image_index.is_multi_label:
        check_multi_label(config)
    few = few_shot_rows(config, image_index)
    trained = image_index.part("train")
    check_unlabelled_used(config.objective.losses.above_zero(), len(image_index.part("unlabelled")))
    paths_of = partial(image_paths, image_index, root=root)
    unlabelled = chosen_unlabelled(config, image_index, teacher, paths_of, cache=cache, hooks=hooks)
    rows = [*trained, *unlabelled, *few]
    texts = student_texts(config, image_index, teacher, targets)
    banks = text_banks(config, teacher, targets, phrases, texts.labels, cache=cache, hooks=hooks)
    teacher_map = tuned_teacher_map(
        config, image_index, teacher, texts.labels, texts.texts, paths_of, cache=cache, hooks=hooks
    )
    paths = image_paths(image_index, rows, root)
    images, views = images_and_views(
        config, teacher, paths, cache, hooks, num_labels=len(texts.labels), has_unlabelled=bool(unlabelled)
    )
    usable = np.setdiff1d(images.usable(), views.bad)
    num_trained = len(np.setdiff1d(usable, np.arange(len(trained), len(trained) + len(unlabelled))))
    if num_trained < 2:
        raise NoImages(f"{num_trained} of {len(paths)} training images can be used: at least two are needed")
    label_rows = {label: row for row, label in enumerate(texts.labels)} | {at: at for at in (NO_LABEL, LABEL_SET)}
    label_sets = None
    if image_index.label_sets is not None:
        label_sets = LabelSets(map(label_rows.__getitem__, image_index.label_sets[row]) for row in rows)
    captioned = None
    if "captions" in required_inputs(config.objective.losses.above_zero()):
        folder = Path(image_index.root) if root is None else root
        relative = [image_index.paths[row] for row in rows]
        listed = None if image_index.captions is None else [image_index.captions[row] for row in rows]
        captioned = caption_features(teacher, folder, relative, given=captions, listed=listed, cache=cache, hooks=hooks)
    digests = {
        "dataset": image_index.digest,
        "pictures": images.digest,
        "teacher": teacher.digest,
        "texts": key_of(*(text for texts in targets.prompts for text in ("\0", *texts))).hex(),
    }
    if captioned is not None:
        digests["captions"] = captioned.digest
    digests |= banks.digests
    labels = np.array([label_rows[image_index.label_indices[row]] for row in rows], dtype=np.int64)
    if label_sets is None and len(np.setdiff1d(labels[usable], [NO_LABEL])) < 2:  # all those of the others are unusable
        raise NoImages("the training images that can be used are all of one label: training needs at least two labels")
    if views.to_encode is not None and needs_teacher_offset(config):
        views.to_encode.encode_all(hooks, turns=slice(1))
    return TrainData(
        pixels=images.pixels,
        labels=labels,
        teacher=views.features,
        views=views.views,
        live=views.live,
        to_encode=views.to_encode,
        texts=texts.texts,
        unseen=texts.unseen,
        prompted=texts.prompted,
        captions=captioned.features if captioned else None,
        captioned=captioned.captioned if captioned else None,
        usable=usable.astype(np.int64),
        shards=_shard_numbers(image_index, rows),
        contents=file_digests(paths, cache=cache, num_workers=config.system.num_workers, hooks=PipelineHooks()),
        unlabelled=np.intersect1d(usable, np.arange(len(trained), len(trained) + len(unlabelled))).astype(np.int64),
        few=np.intersect1d(usable, np.arange(len(rows) - len(few), len(rows))).astype(np.int64),
        digests=digests,
        teacher_scale=teacher.logit_scale,
        phrases=banks.phrases,
        teacher_map=teacher_map,
        label_texts=banks.label_texts,
        label_sets=label_sets,
        label_offset=teacher_offset(config, views.features, texts.texts, labels, label_sets, usable),
    )


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
    on_predicted: Callable[[Predicted], None] | None = None,
    hooks: PipelineHooks | None = None,
) -> Evaluation:
    """Evaluate a student on the held-out and the OOD images.

    `teacher`: measure the agreement with this teacher, whose features are cached. `on_predicted`: gets what is
    measured. Of images with several labels only their average precision is measured
    (`distill.evaluation.multi_label`). Raises NoImages, ImagesError, TeacherError, FewShotError, MultiLabelUnfit,
    Stopped.
    """
    hooks = hooks or PipelineHooks()
    if image_index.is_multi_label:
        check_multi_label_measures(options.shots, options.further is not None and options.further.is_asked)
    rows = evaluation_rows(image_index, options.shots)
    if not rows:
        return Evaluation(text=text, id=None, ood=None, joint=None)
    paths = image_paths(image_index, rows, root)
    size = eval_size(student.size, student.test_crop)
    num_workers = options.num_workers
    pixels = PixelArray(
        paths,
        size,
        cache=cache,
        num_workers=num_workers,
        decoded_gb=DECODED_GB,
        background=student.background,
        interpolation=student.interpolation,
    )
    encoder = None if teacher is None else FeatureEncoder(teacher, paths, cache=cache, view="center", hooks=hooks)
    consumers: list[ImageConsumer] = [pixels] if encoder is None else [pixels, encoder]
    read_images(paths, consumers, cache=cache, num_workers=num_workers, hooks=hooks, background=student.background)
    images = pixels.images(hooks)
    usable, teacher_features = images.usable(), None
    if encoder is not None:
        of_teacher = encoder.features()
        usable = np.setdiff1d(usable, np.flatnonzero(of_teacher.bad.numpy()))
        teacher_features = of_teacher.features[torch.from_numpy(usable)]
    features = student_features(student, images.pixels, usable, device=choose_device(options.device), hooks=hooks)
    if image_index.is_multi_label:
        return evaluate_sets(text, features, [rows[at] for at in usable.tolist()], image_index, targets)
    measured = measured_rows(image_index, rows, usable, root)
    evaluation = evaluate_measured(
        text, features, measured, image_index, targets, options.temperature, teacher_features
    )
    of_index = np.array(rows, dtype=np.int64)[usable]
    if on_predicted is not None:
        parts = (measured.id_labels, measured.ood_labels)
        on_predicted(Predicted(features, of_index, measured.labels, parts, measured.image_numbers))
    seen = ~np.isin(measured.labels, image_index.ood_labels)
    numbers = None if measured.image_numbers is None else measured.image_numbers[seen]
    of_seen = none_of_these(features[torch.from_numpy(seen)], targets.features, numbers)
    by_score = thresholds_by_score(
        features[torch.from_numpy(seen)],
        targets.features,
        numbers,
        temperature=options.temperature,
        outliers=None if options.further is None else options.further.outliers,
    )
    evaluation = replace(evaluation, none_of_these=of_seen, none_of_these_by_score=by_score)
    if options.further is not None:
        of_bundle, of_images = options.further.threshold, None if of_seen is None else of_seen.threshold
        known = MeasuredFeatures(
            features=features,
            rows=of_index,
            measured=measured,
            image_index=image_index,
            targets=targets.features,
            root=root,
            threshold=of_images if of_bundle is None else of_bundle,
        )
        measurement = FurtherMeasurement(
            student, options.further, options.temperature, cache, choose_device(options.device), num_workers, hooks
        )
        evaluation = replace(evaluation, further=measurement.measure(known).as_json())
    if not options.retrieve or teacher is None:
        return evaluation
    labels, numbers = measured.labels, measured.image_numbers
    unseen = np.isin(labels, image_index.ood_labels)
    if not unseen.any():
        raise NoImages("retrieval cannot be measured: no image of an unseen label can be used")
    support = support_rows(image_index, options.shots)
    of_support = support_features(
        teacher,
        image_paths(image_index, support, root),
        seed=options.shots,
        background=student.background,
        hooks=hooks,
    )
    memory = support_memory(of_support, [image_index.label_indices[row] for row in support], measured.ood_labels)
    retrieval = evaluate_features(
        features[torch.from_numpy(unseen)],
        labels[unseen],
        targets.features,
        measured.ood_labels,
        names=image_index.labels,
        temperature=options.temperature,
        image_numbers=None if numbers is None else numbers[unseen],
        extra=lambda normalised: retrieval_scores(normalised, memory),
    )
    return replace(evaluation, retrieval=retrieval)


def training_contents(
    config: TrainConfig,
    image_index: ImageIndex,
    *,
    cache: Path,
    root: Path | None = None,
    num_workers: int = 4,
    hooks: PipelineHooks | None = None,
) -> Prefixes:
    """The contents of the images that a run with this config trains on, for a bundle that does not record them.

    Raises FewShotError, Stopped.
    """
    rows = [*image_index.part("train"), *image_index.part("unlabelled"), *few_shot_rows(config, image_index)]
    paths = image_paths(image_index, rows, root)
    digests = file_digests(paths, cache=cache, num_workers=num_workers, hooks=hooks or PipelineHooks())
    return image_prefixes(digests[(digests != np.frombuffer(UNREADABLE, np.uint8)).any(axis=1)])


def unseen_images(
    trained_on: TrainedOn,
    image_index: ImageIndex,
    *,
    cache: Path,
    root: Path | None = None,
    num_workers: int = 4,
    keep_few_shot: bool = False,
    hooks: PipelineHooks | None = None,
) -> tuple[ImageIndex, int]:
    """The images to measure a finished student on, and the number of training images that are left out.

    Images of labels that the student was trained on are held out, others OOD, whatever the split of `image_index`; its
    training images are left out by their content. `keep_few_shot`: those of unseen labels are kept, to be the support
    of retrieval, which is not measured either. Raises NoImages if no other image is left, and Stopped.
    """
    measured = trained_on.split(image_index)
    rows = range(len(measured))
    digests = file_digests(
        image_paths(measured, rows, root), cache=cache, num_workers=num_workers, hooks=hooks or PipelineHooks()
    )
    trained = trained_on.contains(digests)
    if keep_few_shot:
        trained &= np.array([item.part != "ood" for item in measured], dtype=np.bool_)
    num_trained = int(trained.sum())
    if num_trained == len(measured) > 0:
        raise NoImages(f"the student was trained on all {num_trained} images: name a dataset with other images")
    kept = (item for item, was_trained in zip(measured, trained.tolist(), strict=True) if not was_trained)
    return ImageIndex.of(measured.root, measured.labels, kept), num_trained


def check_start(
    trained_on: TrainedOn,
    config: TrainConfig,
    image_index: ImageIndex,
    *,
    cache: Path,
    root: Path | None = None,
    hooks: PipelineHooks | None = None,
) -> None:
    """Check that a run measures nothing that its student was trained on before the run.

    Else labels would be reported as unseen that the student has seen. Raises InitialStudentError, and Stopped.
    """
    unseen = () if config.data.protocol == "closed_set" else image_index.ood_labels
    seen = sorted(set(trained_on.seen(image_index.labels)).intersection(unseen))
    if seen:
        names = ", ".join(f'"{image_index.labels[label]}"' for label in seen[:5])
        raise InitialStudentError(
            f"{len(seen)} of {len(unseen)} unseen labels are not unseen, because the initial student was trained on "
            f"them ({names}{' …' if len(seen) > 5 else ''}): give the split of its training, or make them seen labels "
            "of this one"
        )
    rows = evaluation_rows(image_index, config.data.shots)
    paths = image_paths(image_index, rows, root)
    contents = file_digests(paths, cache=cache, num_workers=config.system.num_workers, hooks=hooks or PipelineHooks())
    num_trained = int(trained_on.contains(contents).sum())
    if num_trained:
        raise InitialStudentError(
            f"the initial student was trained on {num_trained} of the {len(rows)} images to measure: give the split of "
            "its training, or other images"
        )


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
    background: str = WHITE,
    teacher_map: Tensor | None = None,
    hooks: PipelineHooks | None = None,
) -> Evaluation:
    """Evaluate the teacher on the same images, as a baseline; its confidence uses its own logit scale.

    `background`: shown by transparent parts, as for the student that it is compared with. `teacher_map` (D, D): of a
    tuned teacher. Raises NoImages, TeacherError, FewShotError, Stopped.
    """
    rows = evaluation_rows(image_index, shots)
    if not rows:
        return Evaluation(text=text, id=None, ood=None, joint=None)
    of_teacher = image_features(
        teacher,
        image_paths(image_index, rows, root),
        cache=cache,
        threads=num_workers,
        background=background,
        hooks=hooks or PipelineHooks(),
    )
    usable = np.flatnonzero(~of_teacher.bad.numpy()).astype(np.int64)
    features = of_teacher.features[torch.from_numpy(usable)]
    if teacher_map is not None:
        features = features.float() @ teacher_map
    if image_index.is_multi_label:
        return evaluate_sets(text, features, [rows[at] for at in usable.tolist()], image_index, targets)
    measured = measured_rows(image_index, rows, usable, root)
    return evaluate_measured(text, features, measured, image_index, targets, 1 / teacher.logit_scale)


def tuned_teacher_cost(before: Evaluation, after: Evaluation) -> str:
    """One line on what the map of a tuned teacher changed. `before`, `after`: evaluations without and with it."""
    parts = [
        f"{name} {100 * own.accuracy:.1f}% -> {100 * tuned.accuracy:.1f}%"
        for name, own, tuned in (("seen labels", before.id, after.id), ("unseen labels", before.ood, after.ood))
        if own is not None and tuned is not None
    ]
    return f"the tuned teacher: {', '.join(parts) or 'there are no images to measure it on'}"


def _shard_numbers(image_index: ImageIndex, rows: Sequence[int]) -> Ints | None:
    """The shard number (N,) of each image; None for images that are not in shards."""
    if container_of(image_index.paths[rows[0]]) is None:
        return None
    numbers: dict[str | None, int] = {}
    return np.array(
        [numbers.setdefault(container_of(image_index.paths[row]), len(numbers)) for row in rows], dtype=np.int64
    )
