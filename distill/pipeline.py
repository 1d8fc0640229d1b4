"""The steps of a run, from a manifest to a measured student; `python -m distill` and the service's workers call them.

Each step takes what the one before it gave, and a `PipelineHooks` through which it tells how far it is, asks whether to stop
and names the images it cannot use. All that is slow is cached below one folder. N images, K labels, D embedding width.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from distill.config.loss_registry import required_inputs
from distill.config.train_config import TrainConfig
from distill.data.counter_rng import Ints
from distill.data.crops import Views
from distill.data.decoded_images import DecodedImages, decode_images, eval_side_px, train_side_px
from distill.data.few_shot import exclude_rows, support_rows
from distill.data.image_index import ImageIndex
from distill.data.packed_strings import PackedPaths
from distill.data.row_cache import key_of
from distill.data.shards import is_member, shard_of
from distill.evaluation.accuracy import Evaluation, evaluate, evaluate_features
from distill.evaluation.tip_adapter import retrieval_scores, support_features, support_memory
from distill.hooks import PipelineHooks
from distill.student.features import student_features
from distill.student.model import Student
from distill.teacher.image_features import TeacherFeatures, image_features
from distill.teacher.teacher import Teacher
from distill.teacher.view_features import LiveTeacher, sample_shared_views, teacher_side_px, view_features
from distill.texts.student_texts import CaptionFeatures, caption_features, evaluation_inputs, student_texts
from distill.texts.text_targets import TextTargets
from distill.texts.text_templates import TextKind
from distill.training.loader import TrainData
from distill.training.loop import OnEpoch, choose_device

# Of pictures that are measured on; those of a training are the config's to say.
DECODED_GB = 100.0


class NoImages(ValueError):
    """Every image of a part that is needed is unusable."""


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
    """Everything that training needs: decoded pictures of the training images, and what the teacher says of them.

    `root`: where the manifest's paths start on this machine, if not where it was made. `captions`: a caption set, if
    not the dataset's own are to be used. Images that cannot be used are left out.
    Raises NoImages, ImagesError, TeacherError, ShotsError, TextsError, Stopped.
    """
    hooks = hooks or PipelineHooks()
    # Asked for in any case, so that too many shots are told before a training and not after it.
    known = support_rows(image_index, config.data.shots) if config.data.shots else []
    few = known if config.data.protocol == "fine_tune" else []
    rows = [*image_index.part("train"), *few]
    say = student_texts(config, image_index, teacher, targets)
    paths = _paths(image_index, rows, root)
    pack = _decode(
        paths, train_side_px(config.student.image_px), cache, config.system.num_workers, hooks, config.system.decoded_gb
    )
    seen = _taught(config, teacher, paths, pack, cache, hooks, num_labels=len(say.labels))
    usable = np.setdiff1d(pack.usable(), seen.bad)
    if len(usable) < 2:
        raise NoImages(f"{len(usable)} of {len(paths)} training images can be used: two are the least")
    place = {label: at for at, label in enumerate(say.labels)}
    captioned = _captioned(config, image_index, teacher, rows, captions, cache, root, hooks)
    return TrainData(
        pixels=pack.pixels,
        labels=np.array([place[image_index.label_indices[row]] for row in rows], dtype=np.int64),
        teacher=seen.features,
        views=seen.views,
        live=seen.live,
        texts=say.texts,
        unseen=say.unseen,
        prompted=say.prompted,
        captions=captioned.features if captioned else None,
        captioned=captioned.captioned if captioned else None,
        usable=usable.astype(np.int64),
        shards=_shards(image_index, rows),
        few=np.intersect1d(usable, np.arange(len(rows) - len(few), len(rows))).astype(np.int64),
        digests={
            "dataset": image_index.digest,
            "pictures": pack.digest,
            "teacher": teacher.digest,
            "texts": key_of(*(text for texts in targets.prompts for text in ("\0", *texts))).hex(),
            **({"captions": captioned.digest} if captioned else {}),
        },
    )


def _captioned(
    config: TrainConfig,
    image_index: ImageIndex,
    teacher: Teacher,
    rows: Sequence[int],
    given: Path | None,
    cache: Path,
    root: Path | None,
    hooks: PipelineHooks,
) -> CaptionFeatures | None:
    if "captions" not in required_inputs(config.objective.losses.above_zero()):
        return None
    return caption_features(
        teacher,
        Path(image_index.root) if root is None else root,
        [image_index.paths[row] for row in rows],
        given=given,
        cache=cache,
        hooks=hooks,
    )


class _Taught(NamedTuple):
    """What a teacher says of N pictures: `features` (N, V, D) of `views`, or itself; `bad`: rows it cannot see."""

    features: Tensor
    bad: Ints
    views: Views | None = None
    live: LiveTeacher | None = None


def _taught(
    config: TrainConfig,
    teacher: Teacher,
    paths: Sequence[Path],
    pack: DecodedImages,
    cache: Path,
    hooks: PipelineHooks,
    *,
    num_labels: int,
) -> _Taught:
    """The teacher's part of the training data, as `config.data.view` asks for it; nothing, for a plain classifier."""
    if config.data.protocol == "closed_set":
        nothing = torch.zeros(1, 1, num_labels, dtype=torch.float16).expand(len(paths), -1, -1)
        return _Taught(nothing, np.zeros(0, dtype=np.int64))
    if config.data.view in ("center", "squash"):
        whole = image_features(
            teacher,
            paths,
            cache=cache,
            view=config.data.view,
            threads=config.system.num_workers,
            hooks=hooks,
        )
        return _Taught(whole.features[:, None].half(), np.flatnonzero(whole.bad.numpy()))
    side_px, teacher_px = pack.pixels.shape[1], teacher_side_px(teacher)
    own = (
        pack
        if teacher_px == side_px
        else _decode(paths, teacher_px, cache, config.system.num_workers, hooks, config.system.decoded_gb)
    )
    bad = np.setdiff1d(np.arange(len(paths)), own.usable())
    if config.data.view == "live":
        live = LiveTeacher(teacher, own.pixels)
        return _Taught(torch.zeros(len(paths), 0, teacher.width, dtype=torch.float16), bad, live=live)
    num_views = min(config.data.num_views, config.schedule.epochs * config.schedule.passes_per_epoch)
    views = sample_shared_views(
        config.system.seed, pack.contents, num_views=num_views, side_px=side_px, augmentation=config.data.augmentation
    )
    features = view_features(
        teacher,
        own.pixels,
        own.contents,
        np.intersect1d(own.usable(), pack.usable()),
        views,
        side_px=side_px,
        cache=cache,
        hooks=hooks,
    )
    return _Taught(features, bad, views=views)


def measure_student(
    student: Student,
    image_index: ImageIndex,
    targets: TextTargets,
    text: TextKind,
    *,
    temperature: float,
    cache: Path,
    teacher: Teacher | None = None,
    root: Path | None = None,
    shots: int = 0,
    retrieve: bool = False,
    device: str = "auto",
    num_workers: int = 4,
    hooks: PipelineHooks | None = None,
) -> Evaluation:
    """The student on the held-out and the OOD images. Raises what training_data does.

    `temperature`: what it was trained at, for its confidence. `teacher`: to measure their agreement as well; its
    features of the images are kept in the cache. `shots`: how many images of each OOD label are left out, the first.
    `retrieve`: measure retrieval from those as well, by the teacher's features of them.
    """
    hooks = hooks or PipelineHooks()
    rows = _measured_rows(image_index, shots)
    side = eval_side_px(student.image_px, student.test_crop)
    paths = _paths(image_index, rows, root)
    pack = _decode(paths, side, cache, num_workers, hooks)
    usable, taught = pack.usable(), None
    if teacher is not None:
        known = _seen_by(teacher, paths, cache, num_workers, hooks)
        usable = np.setdiff1d(usable, np.flatnonzero(known.bad.numpy()))
        taught = known.features[torch.from_numpy(usable)]
    features = student_features(
        student,
        pack.pixels,
        usable,
        device=choose_device(device),
        on_progress=hooks.on_progress,
        should_stop=hooks.should_stop,
    )
    measured = _measure(text, features, rows, usable, image_index, targets, temperature, taught)
    if not retrieve or teacher is None:
        return measured
    labels = np.array([image_index.label_indices[row] for row in rows], dtype=np.int64)[usable]
    unseen = np.isin(labels, image_index.ood_labels)
    if not unseen.any():
        raise NoImages("none of the images of unseen labels can be used: there is nothing to retrieve for")
    few = support_rows(image_index, shots)
    their_own = support_features(teacher, _paths(image_index, few, root), seed=shots, on_bad_image=hooks.bad_image)
    kept = support_memory(their_own, [image_index.label_indices[row] for row in few], image_index.ood_labels)
    retrieved = evaluate_features(
        features[torch.from_numpy(unseen)],
        labels[unseen],
        targets.features,
        image_index.ood_labels,
        names=image_index.labels,
        temperature=temperature,
        extra=lambda unit: retrieval_scores(unit, kept),
    )
    return replace(measured, retrieval=retrieved)


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
    """For `train`'s `on_epoch`: measures the student of each of the last `measured_epochs`, in short.

    The pictures are made ready at once, so that a training does not end for want of them. Those that cannot be used are
    left out without a word, because the measurement at the end tells of them. Raises as `measure_student` does.
    """
    if config.evaluation.measured_epochs == 0:
        return lambda _epoch, _student, _context: None
    quiet = replace(hooks or PipelineHooks(), on_bad_image=None, bad_images={})
    asked, _ = evaluation_inputs(config, image_index, teacher, targets, None)
    rows = _measured_rows(asked, config.data.shots)
    side = eval_side_px(config.student.image_px, config.student.test_crop)
    pack = _decode(_paths(asked, rows, root), side, cache, config.system.num_workers, quiet, config.system.decoded_gb)
    usable, device = pack.usable(), choose_device(config.system.device)

    def on_epoch(epoch: int, student: Student, context: Tensor | None) -> dict[str, Any] | None:
        if epoch <= config.schedule.epochs - config.evaluation.measured_epochs:
            return None
        features = student_features(student, pack.pixels, usable, device=device)
        _, own = evaluation_inputs(config, image_index, teacher, targets, context)
        return _measure(text, features, rows, usable, asked, own, config.objective.temperature).in_short()

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
    """The teacher itself on the same images, a baseline, its confidence at its own logit scale.

    Raises NoImages, TeacherError, Stopped.
    """
    rows = _measured_rows(image_index, shots)
    taught = _seen_by(teacher, _paths(image_index, rows, root), cache, num_workers, hooks or PipelineHooks())
    usable = np.flatnonzero(~taught.bad.numpy()).astype(np.int64)
    features = taught.features[torch.from_numpy(usable)]
    return _measure(text, features, rows, usable, image_index, targets, 1 / teacher.logit_scale)


def _shards(image_index: ImageIndex, rows: Sequence[int]) -> Ints | None:
    """The number of the shard that each image lies in, where it is shards that they lie in."""
    if not is_member(image_index.paths[rows[0]]):
        return None
    numbers: dict[str, int] = {}
    return np.array(
        [numbers.setdefault(shard_of(image_index.paths[row]), len(numbers)) for row in rows], dtype=np.int64
    )


def _measured_rows(image_index: ImageIndex, shots: int) -> list[int]:
    every = sorted(image_index.part("held_out") + image_index.part("ood"))
    return exclude_rows(every, support_rows(image_index, shots)) if shots else every


def _paths(image_index: ImageIndex, rows: Sequence[int], root: Path | None) -> Sequence[Path]:
    start = Path(image_index.root) if root is None else root
    return PackedPaths(start, image_index.paths, rows)


def _seen_by(
    teacher: Teacher, paths: Sequence[Path], cache: Path, num_workers: int, hooks: PipelineHooks
) -> TeacherFeatures:
    return image_features(
        teacher,
        paths,
        cache=cache,
        threads=num_workers,
        hooks=hooks,
    )


def _decode(
    paths: Sequence[Path],
    side_px: int,
    cache: Path,
    num_workers: int,
    hooks: PipelineHooks,
    decoded_gb: float = DECODED_GB,
) -> DecodedImages:
    return decode_images(
        paths,
        side_px,
        cache=cache,
        num_workers=num_workers,
        decoded_gb=decoded_gb,
        hooks=hooks,
    )


def _measure(
    text: TextKind,
    features: Tensor,
    rows: Sequence[int],
    usable: Ints,
    image_index: ImageIndex,
    targets: TextTargets,
    temperature: float,
    taught: Tensor | None = None,
) -> Evaluation:
    if len(usable) == 0:
        raise NoImages(f"none of the {len(rows)} images to measure on can be used")
    labels = np.array([image_index.label_indices[row] for row in rows], dtype=np.int64)[usable]
    return evaluate(
        text,
        features,
        labels,
        targets.features,
        names=image_index.labels,
        id_labels=image_index.id_labels,
        ood_labels=image_index.ood_labels,
        temperature=temperature,
        teacher_features=taught,
    )
