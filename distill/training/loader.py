"""Batches of a run, read ahead of the steps that use them; the step number determines the images and views of a batch.

In each pass every usable image is used once, in an order shuffled per pass, or the images of rare labels more often
(`distill.data.draws.by_label`). Images that do not fill the last batch are left out of that pass, or make a smaller
batch (`schedule.last_batch`). B images of a batch, N images, M usable images, K labels, U unseen labels, V teacher
views, D embedding width, S and T height and width.
"""

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from distill.config.batch_plan import BatchPlan as BatchPlan
from distill.config.batch_plan import plan_batches as plan_batches
from distill.config.image_size import ImageSize
from distill.config.train_config import Sampling, TrainConfig
from distill.data.columns.label_sets import LabelSets
from distill.data.counter_rng import Ints, shuffled, shuffled_in_windows
from distill.data.crops import Views, sample_augmentations, sample_views
from distill.data.decoded_images import PixelRows
from distill.data.draws.by_label import Draws, draw_by_label
from distill.data.draws.mixtures import Mixture, draw_mixtures
from distill.data.draws.unlabelled import draw_unlabelled, spread
from distill.data.few_shot import few_shot_rows
from distill.data.row_cache import KEY_BYTES, Keys
from distill.data.splits import NO_LABEL
from distill.data.views.retouching import sample_retouching
from distill.losses.label_matrix import label_matrix
from distill.losses.nearest_neighbour import MIXED_IMAGE
from distill.teacher.views.missing_views import MissingViews
from distill.teacher.views.view_features import LiveTeacher, TeacherViews, ViewBatch
from distill.texts.prompt_learning import PromptedTexts
from distill.texts.text_bank import LabelledTexts
from distill.training.distributed import SINGLE_PROCESS, RankGroup

BATCHES_AHEAD = 2
# Number of shards whose samples are mixed: enough to mix well, and few enough to stay in the system's file cache.
SHARDS_AT_ONCE = 16


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainData:
    """The data of a training run.

    `pixels`: (N, S, T, 3) uint8, at least the student's size. `labels`: (N,) int64, rows of `texts`.
    `teacher`: (N, V, D) float, teacher features of V views of each image, one view per pass in turn. Without `views`, V
    is 1 (the whole image) and the student's views are sampled in every pass; with `views`, boxes (N, V, 4), the student
    sees the views of the teacher. With `to_encode`, `teacher` are its features, of which the missing ones are encoded
    when a batch needs them. With a `live` teacher, V is 0. `texts`: (K, D) float32, of the labels to learn.
    `usable`: (M,) int64, the rows to train on. `digests`: of everything this was made from.
    `captions`: (N, D) float32, teacher features of captions; `captioned`: (N,) bool, the images that have a caption.
    `unseen`: (U, D) texts of labels without images. `prompted`: the texts of all labels, unseen ones last, for learned
    vectors. `few`: the few-shot rows of `usable`, which have a share of every batch (`distill.data.few_shot`).
    `shards`: (N,) the shard number of each image, if they are in shards: a pass reads a few shards at a time.
    `unlabelled`: the rows of `usable` without a label, whose `labels` are -1 (`distill.data.draws.unlabelled`).
    `contents`: (N, 32) uint8, the sha256 of each image file, for the record of what the student was trained on.
    `teacher_scale`: the teacher's logit scale, for the losses that use it. `teacher_map`: (D, D), of a tuned teacher
    (`distill.losses.teacher_map`), applied to its features. `phrases`: (P, D), a bank of attribute
    phrases; `label_texts`: every text of every label (`distill.texts.text_bank`). `label_sets`: the labels of each
    image of a multi-label dataset, as rows of `texts`; its `labels` are `LABEL_SET`. `label_offset`: what the setting
    "teacher" of this name means for these images.
    """

    pixels: PixelRows
    labels: Ints
    teacher: Tensor
    texts: Tensor
    usable: Ints
    digests: Mapping[str, str]
    views: Views | None = None
    live: LiveTeacher | None = None
    to_encode: TeacherViews | None = None
    captions: Tensor | None = None
    captioned: Tensor | None = None
    unseen: Tensor | None = None
    prompted: PromptedTexts | None = None
    few: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    shards: Ints | None = None
    contents: Keys | None = None
    unlabelled: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    teacher_scale: float | None = None
    phrases: Tensor | None = None
    teacher_map: Tensor | None = None
    label_texts: LabelledTexts | None = None
    label_sets: LabelSets | None = None
    label_offset: float | None = None

    def image_numbers(self) -> Ints:
        """A number (N,) for each image, equal for rows with the same image file."""
        if self.contents is None:
            return np.arange(len(self.labels), dtype=np.int64)
        return np.unique(self.contents, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)

    def trained_contents(self) -> Keys:
        """The sha256 (M, 32) of the images that are trained on."""
        return np.zeros((0, KEY_BYTES), dtype=np.uint8) if self.contents is None else self.contents[self.usable]


class ViewEncoding(NamedTuple):
    """Teacher views that were encoded for a batch: their number, the seconds, and how many are `left` for this rank."""

    num_views: int
    seconds: float
    left: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Batch:
    """A batch on the device: `pixels` (B, S, T, 3) uint8, `labels` (B,) int64, `teacher` (B, D) float32.

    `images`: (B,) int64, the number of each image, `MIXED_IMAGE` of a mixture. `captions` (B, D) and `captioned` (B,)
    bool if the data has captions. `label_matrix` (B, K) uint8, 1 for the labels of an image, if the images have sets of
    labels. `waited_s`: seconds the step waited for it. `mixture`: the images that are mixed with others,
    whose label is -1 and whose `teacher` is that of the mixture. `encoding`: of teacher views for this batch and the
    next ones.
    """

    pixels: Tensor
    labels: Tensor
    images: Tensor
    teacher: Tensor
    views: Views
    waited_s: float
    captions: Tensor | None = None
    captioned: Tensor | None = None
    mixture: Mixture | None = None
    label_matrix: Tensor | None = None
    encoding: ViewEncoding | None = None

    def parts(self, count: int) -> "Iterator[Batch]":
        """The batch in `count` equal parts, in order."""
        size = len(self.labels) // count
        for start in range(0, size * count, size):
            rows = slice(start, start + size)
            yield replace(
                self,
                pixels=self.pixels[rows],
                labels=self.labels[rows],
                images=self.images[rows],
                teacher=self.teacher[rows],
                views=self.views.take(rows),
                captions=None if self.captions is None else self.captions[rows],
                captioned=None if self.captioned is None else self.captioned[rows],
                mixture=None if self.mixture is None else self.mixture.part(start, start + size),
                label_matrix=None if self.label_matrix is None else self.label_matrix[rows],
            )


def plan_run(config: TrainConfig, data: TrainData, ranks: RankGroup) -> BatchPlan:
    """The batches of a run on `data`. Raises ValueError as `plan_batches`."""
    return plan_batches(
        config,
        len(data.usable) - len(data.unlabelled),
        ranks.world_size,
        num_few=len(data.few),
        has_unlabelled=len(data.unlabelled) > 0,
    )


def batches(
    data: TrainData, config: TrainConfig, start: int, device: torch.device, ranks: RankGroup = SINGLE_PROCESS
) -> Generator[Batch]:
    """This rank's rows of the batches of steps `start` (from 0) to the last, read ahead in a thread.

    Teacher views without a feature are encoded for the first batch that needs them. Close it to keep the last ones.
    """
    reader = _BatchReader(data, config, device, ranks)
    total_steps, size = reader.plan.total_steps, _stored_size(data)
    teacher_map = None if data.teacher_map is None else data.teacher_map.to(device)
    with ThreadPoolExecutor(1, "batches") as pool, _kept(data.to_encode):
        ahead = [pool.submit(reader.read, step) for step in range(start, min(start + BATCHES_AHEAD, total_steps))]
        for step in range(start, total_steps):
            requested_at = time.perf_counter()
            rows = ahead.pop(0).result()
            if step + BATCHES_AHEAD < total_steps:
                ahead.append(pool.submit(reader.read, step + BATCHES_AHEAD))
            waited_s = time.perf_counter() - requested_at
            teacher, encoding = rows.teacher, None
            if data.live is not None:
                teacher = data.live.features(teacher, rows.views, size, rows.mixture)
            if data.to_encode is not None:
                encoding = _encode(data.to_encode, rows.to_encode, ranks.world_size)
                if step + BATCHES_AHEAD + 1 == reader.views_shared_at:
                    data.to_encode.flush()
                teacher = reader.teacher_rows(*rows.at)
            if teacher_map is not None:
                teacher = teacher @ teacher_map
            yield Batch(
                pixels=rows.pixels,
                labels=rows.labels,
                images=rows.images,
                teacher=teacher,
                views=rows.views,
                waited_s=waited_s,
                captions=rows.captions,
                captioned=rows.captioned,
                mixture=rows.mixture,
                label_matrix=rows.label_matrix,
                encoding=encoding,
            )


@contextmanager
def _kept(views: TeacherViews | None) -> Iterator[None]:
    """Write the features that were encoded to the cache at the end."""
    try:
        yield
    finally:
        if views is not None:
            views.flush()


def _encode(views: TeacherViews, found: Sequence[ViewBatch], num_ranks: int) -> ViewEncoding | None:
    """Encode batches of views."""
    if not found:
        return None
    started = time.perf_counter()
    for one in found:
        views.encode(one)
    left = int(views.missing.sum()) // num_ranks
    return ViewEncoding(sum(len(one.rows) for one in found), time.perf_counter() - started, left)


class _BatchRows(NamedTuple):
    """The rows of a batch on the device. `teacher`: features (B, D), or with a live teacher the pixels it sees.

    `at`: its images, and the turn of each. `to_encode`: views to encode before this batch.
    """

    pixels: Tensor
    labels: Tensor
    images: Tensor
    teacher: Tensor
    views: Views
    captions: Tensor | None
    captioned: Tensor | None
    mixture: Mixture | None
    label_matrix: Tensor | None
    at: tuple[Ints, Ints]
    to_encode: Sequence[ViewBatch]


class _BatchReader:
    """Reads this rank's rows of the batch of any step; with views to encode, of steps in order."""

    def __init__(self, data: TrainData, config: TrainConfig, device: torch.device, ranks: RankGroup) -> None:
        self.plan = plan_run(config, data, ranks)
        self._data, self._device = data, device
        self._seed, self._augmentation, self._mix = config.system.seed, config.data.augmentation, config.data.mix
        self._mix_share = config.data.mix_share
        self._rank_rows = ranks.batch_rows
        self._image_numbers = data.image_numbers()
        # A function without `self`: a cycle of references would keep the data in memory after the run. Two orders are
        # cached, because the batches read ahead may belong to the next pass.
        others = np.setdiff1d(data.usable, np.union1d(data.few, data.unlabelled))
        order = partial(_pass_order, others, data.labels[others], data.shards, config.data.sampling, self._seed)
        self._order = lru_cache(maxsize=2)(order)
        unlabelled = partial(_pass_order, data.unlabelled, data.unlabelled, data.shards, "uniform", self._seed)
        self._unlabelled_order = lru_cache(maxsize=2)(unlabelled)
        self._missing: MissingViews | None = None
        if data.to_encode is not None:
            self._missing = MissingViews(data.to_encode, self.plan, ranks.world_size)

    def read(self, step: int) -> _BatchRows:
        """The rows of the batch of `step`."""
        data = self._data
        to_encode = () if self._missing is None else self._missing.before_step(step, self._teacher_at)
        draws = self._draws(step)
        of_rank = self._rank_rows(len(draws.rows))
        rows, turns = draws.rows[of_rank], draws.turns[of_rank]
        mixture = self._mixture(draws, of_rank, step)
        labels, images = data.labels[rows], self._image_numbers[rows]
        if mixture is not None:
            labels[mixture.at], images[mixture.at] = NO_LABEL, MIXED_IMAGE
        pixels = self._move(self._fetch(data.pixels, rows))
        if data.to_encode is not None:
            teacher = torch.empty(0)  # filled in by `batches`
        elif data.live is None:
            teacher = self.teacher_rows(rows, turns)
        else:
            shared = data.live.pixels is data.pixels
            teacher = pixels if shared else self._move(self._fetch(data.live.pixels, rows))
        return _BatchRows(
            pixels=pixels,
            labels=self._move(torch.from_numpy(labels)),
            images=self._move(torch.from_numpy(images)),
            teacher=teacher,
            views=self._views(rows, turns, step),
            captions=None if data.captions is None else self._move(data.captions[rows]),
            captioned=None if data.captioned is None else self._move(data.captioned[rows]),
            label_matrix=None
            if data.label_sets is None
            else self._move(label_matrix(data.label_sets, rows, len(data.texts))),
            mixture=mixture,
            at=(rows, turns),
            to_encode=to_encode,
        )

    @property
    def views_shared_at(self) -> int:
        """The step whose reading looks up the views that other ranks encoded; 0 for one rank."""
        return 0 if self._missing is None else self._missing.look_up_at

    def teacher_rows(self, rows: Ints, turns: Ints) -> Tensor:
        """The teacher's features (B, D) of the views that `rows` have at their `turns`."""
        return self._move(self._data.teacher[rows, turns % self._data.teacher.shape[1]].float())

    def _teacher_at(self, step: int) -> tuple[Ints, Ints]:
        """Rows and numbers of the teacher views of this rank in the batch of `step`."""
        draws = self._draws(step)
        of_rank = self._rank_rows(len(draws.rows))
        return draws.rows[of_rank], draws.turns[of_rank] % self._data.teacher.shape[1]

    def _mixture(self, draws: Draws, of_rank: slice, step: int) -> Mixture | None:
        """The mixtures of this rank's rows of the batch, whose second images are of any rank."""
        data = self._data
        if self._mix == "none" or data.live is None:
            return None
        drawn = draw_mixtures(self._mix, self._mix_share, data.labels[draws.rows], seed=self._seed, step=step)
        start, stop, _ = of_rank.indices(len(draws.rows))
        own = drawn.take((drawn.at >= start) & (drawn.at < stop))
        rows, turns = draws.rows[own.partners], draws.turns[own.partners]
        pixels = self._move(self._fetch(data.pixels, rows))
        shared = data.live.pixels is data.pixels
        return Mixture(
            at=own.at - start,
            pixels=pixels,
            teacher_pixels=pixels if shared else self._move(self._fetch(data.live.pixels, rows)),
            views=self._views(rows, turns, step),
            shares=own.shares,
            boxes=own.boxes,
        )

    def _draws(self, step: int) -> Draws:
        """The draws of the whole batch of `step`, with unlabelled images."""
        draws = self._labelled_draws(*divmod(step, self.plan.steps_per_pass), step)
        if self.plan.num_unlabelled == 0:
            return draws
        count = len(self._data.unlabelled)
        return spread(draws, draw_unlabelled(self._unlabelled_order, count, self.plan.num_unlabelled, step))

    def _labelled_draws(self, pass_index: int, place: int, step: int) -> Draws:
        """The labelled draws of the whole batch, number `place` of its pass."""
        order = self._order(pass_index)
        used = slice(self.plan.images_per_pass)
        if len(self._data.few):
            rows = few_shot_rows(
                self._data.few, order.rows[used], self.plan.split, batch_index=place, seed=self._seed, step=step
            )
            # A few-shot image is in many batches of a pass, so that its views are sampled by step.
            return Draws(rows, np.full_like(rows, step))
        batch = slice(place * self.plan.split.others, (place + 1) * self.plan.split.others)
        return Draws(order.rows[used][batch], order.turns[used][batch])

    def _views(self, rows: Ints, turns: Ints, step: int) -> Views:
        """The views of the batch of `step`: those of the `turns` (B,) of its images."""
        data = self._data
        if data.views is not None:
            views = data.views.take((rows, turns % data.teacher.shape[1]))
            if views.teacher_sees_all:
                return views
            ops = sample_augmentations(self._seed, turns, rows, self._augmentation)
            retouching = sample_retouching(self._seed, turns, rows, self._augmentation)
            return replace(views, ops=ops, retouching=retouching)
        # One view per batch is sampled as the view of an image whose number is the batch's.
        if self._augmentation.per == "batch":
            pass_index, place = divmod(step, self.plan.steps_per_pass)
            rows = np.full_like(rows, place)
            turns = np.full_like(turns, step if len(data.few) else pass_index)
        return sample_views(self._seed, turns, rows, image_px=_stored_size(data), augmentation=self._augmentation)

    def _fetch(self, source: PixelRows, rows: Ints) -> Tensor:
        if not isinstance(source, np.ndarray):
            return torch.from_numpy(source[rows])
        # Read into pinned memory, from which the GPU copies without another copy in between.
        pixels = torch.empty((len(rows), *source.shape[1:]), dtype=torch.uint8, pin_memory=self._device.type == "cuda")
        source.take(rows, axis=0, out=pixels.numpy(), mode="clip")
        return pixels

    def _move(self, part: Tensor) -> Tensor:
        # A copy from pinned memory runs while the step before it computes.
        return part.pin_memory().to(self._device, non_blocking=True) if self._device.type == "cuda" else part


def _pass_order(rows: Ints, labels: Ints, shards: Ints | None, sampling: Sampling, seed: int, pass_index: int) -> Draws:
    """The draws of a pass from the rows (M,) that are not few-shot, with `labels` (M,).

    `shards`: (N,) the shard number of each image; sampling by label reads them in any order.
    """
    if sampling != "uniform":
        return draw_by_label(rows, labels, sampling, seed=seed, pass_index=pass_index)
    if shards is None:
        order = shuffled(rows, seed, pass_index)
    else:
        order = shuffled_in_windows(rows, shards[rows], SHARDS_AT_ONCE, seed, pass_index)
    return Draws(order, np.full_like(order, pass_index))


def _stored_size(data: TrainData) -> ImageSize:
    return ImageSize(*data.pixels.shape[1:3])
