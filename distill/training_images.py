"""The images of a training and the teacher's features of them, from one pass over the files.

The student's images are decoded and kept. The teacher encodes each whole image as it is decoded, or crops: those that
are not cached are encoded later, when a batch needs them. N images, V teacher views, D embedding width.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from distill.config.image_size import ImageSize, Size
from distill.config.train_config import TrainConfig
from distill.data.counter_rng import Ints
from distill.data.crops import SharedViews, Views
from distill.data.decoded_images import DecodedImages, PixelArray, train_size
from distill.data.image_store import read_images
from distill.hooks import PipelineHooks
from distill.image_encoding import shared_views
from distill.teacher.image_features import FeatureEncoder
from distill.teacher.teacher import Teacher
from distill.teacher.views.view_encoder import ViewEncoder, has_most_views
from distill.teacher.views.view_features import LiveTeacher, TeacherViews, teacher_side_px


class TeacherPart(NamedTuple):
    """Teacher features (N, V, D) of the `views` of N images, or a `live` teacher; `bad`: rows without features.

    `to_encode`: holds the features, some of which may be missing.
    """

    features: Tensor
    bad: Ints
    views: Views | None = None
    live: LiveTeacher | None = None
    to_encode: TeacherViews | None = None


def images_and_views(
    config: TrainConfig,
    teacher: Teacher,
    paths: Sequence[Path],
    cache: Path,
    hooks: PipelineHooks,
    *,
    num_labels: int,
    has_unlabelled: bool,
) -> tuple[DecodedImages, TeacherPart]:
    """The student's images and the teacher's part of the training data, from one pass over the files `paths` (N,).

    `num_labels`: of a closed-set classifier. `has_unlabelled`: some of the images have no label. Raises ImagesError,
    TeacherError, Stopped.
    """
    pixels = _pixel_array(config, paths, train_size(config.student.size), cache, config.student.resize)
    read = partial(
        read_images,
        paths,
        cache=cache,
        num_workers=config.system.num_workers,
        hooks=hooks,
        background=config.data.background,
    )
    if config.data.protocol == "closed_set":
        read([pixels])
        zeros = torch.zeros(1, 1, num_labels, dtype=torch.float16).expand(len(paths), -1, -1)
        return pixels.images(hooks), TeacherPart(zeros, np.zeros(0, dtype=np.int64))
    if config.data.view in ("center", "squash", "squash_256"):
        encoder = FeatureEncoder(teacher, paths, cache=cache, view=config.data.view, hooks=hooks)
        read([pixels, encoder])
        whole = encoder.features()
        return pixels.images(hooks), TeacherPart(whole.features[:, None].half(), np.flatnonzero(whole.bad.numpy()))
    shared = None if config.data.view == "live" else shared_views(config, has_unlabelled=has_unlabelled)
    teacher_px = teacher_side_px(teacher)
    is_shared = config.student.resize == "bicubic"  # the teacher's views are cut from bicubic images
    if is_shared and ImageSize.of(teacher_px) == train_size(config.student.size):
        read([pixels])
        images = teacher_images = pixels.images(hooks)
    elif shared is not None and has_most_views(teacher, paths, shared, config.data.background, cache):
        view_encoder = ViewEncoder(teacher, paths, shared, cache=cache, hooks=hooks)
        read([pixels, view_encoder])
        features, bad = view_encoder.features()
        return pixels.images(hooks), TeacherPart(features, bad, views=view_encoder.views())
    else:
        teacher_pixels = _pixel_array(config, paths, teacher_px, cache)
        read([pixels, teacher_pixels])
        images, teacher_images = pixels.images(hooks), teacher_pixels.images(hooks)
    return images, _views_of_crops(teacher, images, teacher_images, shared, cache)


def _views_of_crops(
    teacher: Teacher,
    images: DecodedImages,
    teacher_images: DecodedImages,
    shared: SharedViews | None,
    cache: Path,
) -> TeacherPart:
    """The teacher's features of the crops `shared` with the student, or the live teacher. Bad images have zeros.

    Features that are not cached are encoded when a batch needs them.
    """
    num_images = len(images.pixels)
    bad = np.setdiff1d(np.arange(num_images), teacher_images.usable())
    if shared is None:
        live = LiveTeacher(teacher, teacher_images.pixels)
        return TeacherPart(torch.zeros(num_images, 0, teacher.width, dtype=torch.float16), bad, live=live)
    views = shared.of(images.contents)
    to_encode = TeacherViews(
        teacher,
        teacher_images.pixels,
        teacher_images.contents,
        np.intersect1d(teacher_images.usable(), images.usable()),
        views,
        image_px=shared.image_px,
        cache=cache,
    )
    return TeacherPart(to_encode.features, bad, views=views, to_encode=to_encode)


def _pixel_array(
    config: TrainConfig, paths: Sequence[Path], image_px: Size, cache: Path, interpolation: str = "bicubic"
) -> PixelArray:
    system = config.system
    return PixelArray(
        paths,
        image_px,
        cache=cache,
        num_workers=system.num_workers,
        decoded_gb=system.decoded_gb,
        background=config.data.background,
        interpolation=interpolation,
    )
