"""Teacher features of a range of a dataset's images, encoded apart from the training or evaluation that uses them.

A training needs features of its images in the view of its config, an evaluation those of whole images. Both are rows of
the cache (`distill.data.row_cache`), so that whoever encodes them first leaves them to the others. A chunk is a file of
the rows of one range: it can be stored, and copied into the cache of another machine. Its digest covers the teacher,
its preprocessing, the view (with the boxes and flips of crops) and the contents of the images, in order.

Batches begin at the start of a range and not where a worker begins, because kernels may round an image differently at
another place of a batch: features do not depend on the number of workers. N images, D embedding width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import Tensor

from distill.config.train_config import TrainConfig
from distill.data.counter_rng import Ints
from distill.data.crops import SharedViews
from distill.data.decoded_images import train_size
from distill.data.few_shot import support_rows
from distill.data.image_index import ImageIndex
from distill.data.image_store import ImageConsumer, pixel_digests, read_images
from distill.data.row_cache import Keys, RowCache, key_of
from distill.evaluation.measured_images import evaluation_rows
from distill.hooks import PipelineHooks
from distill.losses.teacher_map import fitted_map
from distill.teacher.image_features import FeatureEncoder, image_cache, image_features, image_keys
from distill.teacher.teacher import Teacher, View
from distill.teacher.views.view_encoder import ViewEncoder
from distill.teacher.views.view_features import view_cache, view_keys
from limbeck.shared.images.background import WHITE

FORMAT = "limbeck feature chunk 1"
UsedView = Literal["crops", "center", "squash", "squash_256"]


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageUse:
    """Images of an index (`rows`, ascending) whose features are needed in one view.

    `view`: `crops` are the `shared` views of student and teacher, the others show whole images. `background`: shown by
    transparent parts.
    """

    rows: Ints
    view: UsedView
    shared: SharedViews | None = None
    background: str = WHITE
    num_workers: int = 4

    def within(self, start: int, stop: int) -> "ImageUse":
        """The rows from `start` to below `stop`."""
        first, last = np.searchsorted(self.rows, (start, stop))
        return replace(self, rows=self.rows[first:last])


@dataclass(frozen=True, eq=False)
class FeatureRows:
    """The features of a use: rows of `cache` under `keys` (M, 32), without repeats. Bad images have no row."""

    view: UsedView
    cache: RowCache[np.float16]
    keys: Keys

    @cached_property
    def digest(self) -> str:
        """sha256 in hex over everything that the features depend on."""
        return key_of(FORMAT, self.cache.folder.name, self.keys.tobytes()).hex()

    def save(self, path: Path) -> int:
        """Write the rows that the cache has, as a file that another cache can hold. Returns their number."""
        rows, found = self.cache.get(self.keys)
        save_file({"keys": np.ascontiguousarray(self.keys[found]), "rows": rows[found]}, path)
        return int(found.sum())


def training_uses(config: TrainConfig, image_index: ImageIndex) -> list[ImageUse]:
    """What a training of this config and its evaluation need. Raises FewShotError."""
    whole = [*evaluation_rows(image_index, config.data.shots)]
    if config.objective.tuned_teacher is not None:
        whole += image_index.part("train")
    common = ImageUse(
        rows=np.array(sorted(whole), dtype=np.int64),
        view="center",
        background=config.data.background,
        num_workers=config.system.num_workers,
    )
    trained, unlabelled = image_index.part("train"), image_index.part("unlabelled")
    if chooses_unlabelled(config, len(unlabelled)):  # by whole images; only the training knows which are chosen
        compared = np.array(sorted([*trained, *unlabelled]), dtype=np.int64)
        common, unlabelled = replace(common, rows=np.union1d(common.rows, compared)), []
    rows = np.array(sorted([*trained, *unlabelled, *few_shot_rows(config, image_index)]), dtype=np.int64)
    view = config.data.view
    if not config.encodes_ahead:
        return [common]
    if view == "center":
        return [replace(common, rows=np.union1d(common.rows, rows))]
    if view in ("squash", "squash_256"):
        return [replace(common, rows=rows, view=view), common]
    shared = shared_views(config, has_unlabelled=bool(unlabelled))
    return [replace(common, rows=rows, view="crops", shared=shared), common]


def teacher_uses(image_index: ImageIndex) -> list[ImageUse]:
    """What the evaluation of a teacher needs."""
    return [ImageUse(rows=np.array(evaluation_rows(image_index, 0), dtype=np.int64), view="center")]


def few_shot_rows(config: TrainConfig, image_index: ImageIndex) -> list[int]:
    """The rows of the few-shot images that are trained on. Raises FewShotError."""
    # Selected for every protocol, so that too many shots are an error before the training and not after it.
    support = support_rows(image_index, config.data.shots) if config.data.shots else []
    return support if config.data.trains_on_shots else []


def chooses_unlabelled(config: TrainConfig, num_unlabelled: int) -> bool:
    """Whether only some of the unlabelled images are trained on."""
    wanted = config.data.unlabelled_nearest
    return wanted is not None and wanted < num_unlabelled


def chosen_unlabelled(
    config: TrainConfig,
    image_index: ImageIndex,
    teacher: Teacher,
    paths_of: Callable[[Sequence[int]], Sequence[Path]],
    *,
    cache: Path,
    hooks: PipelineHooks,
) -> list[int]:
    """The rows of the unlabelled images to train on: all, or `unlabelled_nearest` of them, ascending.

    An image is as near as the training image of a label that the teacher's feature of the whole image is nearest to; of
    equal ones the first is taken, and unusable images are left out. `paths_of`: the files of rows. Raises Stopped and
    TeacherError.
    """
    trained, unlabelled = image_index.part("train"), image_index.part("unlabelled")
    wanted = config.data.unlabelled_nearest
    if wanted is None or not chooses_unlabelled(config, len(unlabelled)):
        return list(unlabelled)
    found = image_features(
        teacher,
        paths_of([*trained, *unlabelled]),
        cache=cache,
        threads=config.system.num_workers,
        background=config.data.background,
        hooks=hooks,
    )
    good = ~found.bad
    of_labels, of_pool = found.features[: len(trained)][good[: len(trained)]], found.features[len(trained) :]
    nearness = nearest_similarity(of_pool, of_labels)
    nearness[~good[len(trained) :]] = -2.0  # below every cosine
    order = torch.argsort(nearness, descending=True, stable=True)[: min(wanted, int(good[len(trained) :].sum()))]
    return sorted(unlabelled[at] for at in order.tolist())


def tuned_teacher_map(
    config: TrainConfig,
    image_index: ImageIndex,
    teacher: Teacher,
    trained: Sequence[int],
    texts: Tensor,
    paths_of: Callable[[Sequence[int]], Sequence[Path]],
    *,
    cache: Path,
    hooks: PipelineHooks,
) -> Tensor | None:
    """The map (D, D) of the teacher's image features that the config asks for, or None.

    Learned from whole training images. `texts` (K, D) of the labels `trained`, positions in the index. Raises Stopped
    and TeacherError.
    """
    pull, rows = config.objective.tuned_teacher, image_index.part("train")
    if pull is None:
        return None
    found = image_features(
        teacher,
        paths_of(rows),
        cache=cache,
        threads=config.system.num_workers,
        background=config.data.background,
        hooks=hooks,
    )
    row_of_label = {label: row for row, label in enumerate(trained)}
    labels = torch.tensor([row_of_label[image_index.label_indices[row]] for row in rows])
    good = ~found.bad
    return fitted_map(found.features[good].float(), labels[good], texts, scale=teacher.logit_scale, pull=pull)


def nearest_similarity(features: Tensor, others: Tensor, *, rows_at_once: int = 4096) -> Tensor:
    """The largest cosine (N,) float32 of each of `features` (N, D) to one of `others` (M, D); -1 if there are none."""
    if len(others) == 0:
        return torch.full((len(features),), -1.0)
    unit = torch.nn.functional.normalize(others.float(), dim=1).T
    blocks = [torch.nn.functional.normalize(block.float(), dim=1) for block in torch.split(features, rows_at_once)]
    return torch.cat([torch.zeros(0), *((block @ unit).amax(dim=1) for block in blocks)])


def shared_views(config: TrainConfig, *, has_unlabelled: bool) -> SharedViews:
    """The crops that student and teacher share in a training with view `same`."""
    num_views = config.data.num_views
    if config.data.sampling == "uniform" and not has_unlabelled:  # else an image can be used more than once in a pass
        num_views = min(num_views, config.schedule.epochs * config.schedule.passes_per_epoch)
    return SharedViews(
        seed=config.system.seed,
        num_views=num_views,
        image_px=train_size(config.student.size),
        augmentation=config.data.augmentation,
    )


def chunk_of(
    use: ImageUse, teacher: Teacher, paths: Sequence[Path], *, cache: Path, hooks: PipelineHooks
) -> FeatureRows:
    """The chunk of a use, whose files `paths` (N,) are read if `cache` does not know their contents. Raises Stopped."""
    contents = pixel_digests(paths, cache=cache, num_workers=use.num_workers, hooks=hooks, background=use.background)
    if use.shared is not None:
        rows, keys = view_cache(teacher, cache), view_keys(contents, use.shared.of(contents), use.shared.image_px)
    else:
        whole = _whole(use)
        rows, keys = image_cache(teacher, cache, whole), image_keys(teacher, contents, whole)
    _, first = np.unique(keys, axis=0, return_index=True)
    return FeatureRows(use.view, rows, keys[np.sort(first)])


def encode_use(use: ImageUse, teacher: Teacher, paths: Sequence[Path], *, cache: Path, hooks: PipelineHooks) -> None:
    """Encode what is missing in `cache`. Raises Stopped, with the finished features in the cache, and TeacherError."""
    encoder: ImageConsumer = (
        ViewEncoder(teacher, paths, use.shared, cache=cache, hooks=hooks)
        if use.shared is not None
        else FeatureEncoder(teacher, paths, cache=cache, view=_whole(use), hooks=hooks)
    )
    read_images(paths, [encoder], cache=cache, num_workers=use.num_workers, hooks=hooks, background=use.background)


def _whole(use: ImageUse) -> View:
    return "center" if use.view == "crops" else use.view
