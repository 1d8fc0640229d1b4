"""Batches of a run, read ahead of the step that wants them; a batch's number says which images and views are in it.

In each pass every usable image is drawn once, in an order of the pass's own; what does not fill a last batch waits
for another pass. B images of a batch, N images, M usable ones, K labels, D embedding width, S pixels of a side.
"""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distill.config.train_config import TrainConfig
from distill.data.counter_rng import Ints, shuffled, shuffled_in_windows
from distill.data.crops import Views, draw_rand_augment, draw_views
from distill.data.decoded_images import PixelRows
from distill.data.few_shot import Share, few_shot_rows, share
from distill.teacher.view_features import LiveTeacher
from distill.texts.prompt_learning import PromptedTexts
from distill.training.distributed import ALONE, Ranks

AHEAD = 2
# Shards whose samples are mixed: enough of them to mix well, and few enough to stay in the system's file cache.
SHARDS_AT_ONCE = 16


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainData:
    """What a student learns from.

    `pixels`: (N, S, S, 3) uint8, S at least the student's size. `labels`: (N,) int64, rows of `texts`.
    `teacher`: (N, V, D) float, features of V views of each image, one after the other in the passes: without `views` V
    is 1, the whole picture, and the student's views are drawn anew; with `views`, boxes (N, V, 4), the student sees the
    same. With a `live` teacher V is 0. `texts`: (K, D) float32, the ID labels' alone.
    `usable`: (M,) int64, the rows to train on. `digests`: what all this was made from.
    `captions`: (N, D) float32, the teacher's features of those images' captions that are `captioned` (N,) bool.
    `unseen`: (U, D) texts of labels without images. `prompted`: all labels' texts, unseen ones last, for learned
    vectors. `few`: those of `usable` that every batch has a share of (`distill.data.few_shot`). `shards`: (N,) where
    the images lie, if in shards: a pass goes through a few of them at a time.
    """

    pixels: PixelRows
    labels: Ints
    teacher: Tensor
    texts: Tensor
    usable: Ints
    digests: Mapping[str, str]
    views: Views | None = None
    live: LiveTeacher | None = None
    captions: Tensor | None = None
    captioned: Tensor | None = None
    unseen: Tensor | None = None
    prompted: PromptedTexts | None = None
    few: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    shards: Ints | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Batch:
    """`pixels` (B, S, S, 3) uint8, `labels` (B,), `teacher` (B, D) on the device; `waited_s`: seconds it kept us.

    `captions` (B, D) and `captioned` (B,) where the data has any.
    """

    pixels: Tensor
    labels: Tensor
    teacher: Tensor
    views: Views
    waited_s: float
    captions: Tensor | None = None
    captioned: Tensor | None = None

    def parts(self, count: int) -> "Iterator[Batch]":
        """The batch in `count` equal parts, in order."""
        size = len(self.labels) // count
        for start in range(0, size * count, size):
            at = slice(start, start + size)
            yield replace(self, **{name: _cut(value, at) for name, value in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many steps a run has. A batch, over all ranks, is no larger than the images there are.

    `share`: of few-shot images and others in a batch.
    """

    batch_size: int
    share: Share
    steps_per_pass: int
    steps_per_epoch: int
    total_steps: int


def plan(config: TrainConfig, num_images: int, num_ranks: int = 1, *, num_few: int = 0) -> Plan:
    """The steps of a run over `num_images`, `num_few` of them few-shot ones; a pass goes once through the others.

    Raises ValueError for fewer than two images in each part of a batch, for a batch that ranks cannot share, and for
    few-shot images alone.
    """
    parts = num_ranks * config.schedule.accumulate
    if num_images < 2 * parts:
        among = f" for each of {parts} parts of a batch" if parts > 1 else ""
        raise ValueError(f"{num_images} usable images to train on: two are the least{among}")
    if config.schedule.batch_size % parts:
        raise ValueError(
            f"batch_size {config.schedule.batch_size} does not make {parts} equal parts for {num_ranks} ranks"
        )
    if num_few >= num_images:
        raise ValueError(f"all {num_images} usable images are few-shot ones: the images of the ID labels are missing")
    divided = share(min(config.schedule.batch_size, num_images), num_few, num_images - num_few, parts)
    batch_size = divided.few + divided.others
    if batch_size < 2 * parts:
        raise ValueError(f"{num_images - num_few} images beside few-shot ones are too few for {parts} parts of a batch")
    steps_per_pass = (num_images - num_few) // divided.others
    steps_per_epoch = steps_per_pass * config.schedule.passes_per_epoch
    return Plan(
        batch_size=batch_size,
        share=divided,
        steps_per_pass=steps_per_pass,
        steps_per_epoch=steps_per_epoch,
        total_steps=steps_per_epoch * config.schedule.epochs,
    )


def batches(
    data: TrainData, config: TrainConfig, start: int, device: torch.device, ranks: Ranks = ALONE
) -> Iterator[Batch]:
    """This rank's share of the batches of steps `start` (from 0) to the last, gathered ahead of the step."""
    steps = plan(config, len(data.usable), ranks.count, num_few=len(data.few))
    mine = ranks.share(steps.batch_size)
    others = np.setdiff1d(data.usable, data.few)

    @lru_cache(maxsize=2)
    def order(pass_index: int) -> Ints:
        if data.shards is None:
            return shuffled(others, config.system.seed, pass_index)
        return shuffled_in_windows(others, data.shards[others], SHARDS_AT_ONCE, config.system.seed, pass_index)

    def rows_of(pass_index: int, place: int, step: int) -> Ints:
        if len(data.few):
            return few_shot_rows(
                data.few, order(pass_index), steps.share, place=place, seed=config.system.seed, step=step
            )
        return order(pass_index)[place * steps.batch_size : (place + 1) * steps.batch_size]

    def views_of(rows: Ints, drawn: int, place: int) -> Views:
        if data.views is not None:
            ops = draw_rand_augment(config.system.seed, drawn, rows, config.data.augmentation)
            return replace(data.views.take((rows, drawn % data.teacher.shape[1])), ops=ops)
        # One view for all of a batch is that of one image whose number is the batch's.
        drawn_for = rows if config.data.augmentation.per == "image" else np.full_like(rows, place)
        return draw_views(config.system.seed, drawn, drawn_for, side_px=side_px, augmentation=config.data.augmentation)

    def fetch(source: PixelRows, rows: Ints) -> Tensor:
        if not isinstance(source, np.ndarray):
            return torch.from_numpy(source[rows])
        # Straight to where the GPU copies from, without a copy in between.
        pixels = torch.empty((len(rows), *source.shape[1:]), dtype=torch.uint8, pin_memory=device.type == "cuda")
        source.take(rows, axis=0, out=pixels.numpy(), mode="clip")
        return pixels

    def gather(step: int) -> tuple[list[Tensor], Views, dict[str, Tensor]]:
        pass_index, place = divmod(step, steps.steps_per_pass)
        rows = rows_of(pass_index, place, step)[mine]
        # A few-shot image is in many batches of a pass: its view is the step's.
        drawn = step if len(data.few) else pass_index
        parts = [fetch(data.pixels, rows), torch.from_numpy(data.labels[rows])]
        if data.live is None:
            parts.append(data.teacher[rows, drawn % data.teacher.shape[1]].float())
        elif data.live.pixels is not data.pixels:
            parts.append(fetch(data.live.pixels, rows))
        told = {"captions": data.captions, "captioned": data.captioned}
        captions = {name: _moved(part[rows], device) for name, part in told.items() if part is not None}
        return [_moved(part, device) for part in parts], views_of(rows, drawn, place), captions

    side_px = data.pixels.shape[1]
    with ThreadPoolExecutor(1, "batches") as pool:
        waiting = [pool.submit(gather, step) for step in range(start, min(start + AHEAD, steps.total_steps))]
        for step in range(start, steps.total_steps):
            asked_at = time.perf_counter()
            (pixels, labels, *more), views, captions = waiting.pop(0).result()
            if step + AHEAD < steps.total_steps:
                waiting.append(pool.submit(gather, step + AHEAD))
            waited_s = time.perf_counter() - asked_at
            teacher = more[0] if more else pixels
            if data.live is not None:
                teacher = data.live.features(teacher, views, side_px)
            yield Batch(pixels=pixels, labels=labels, teacher=teacher, views=views, waited_s=waited_s, **captions)


def _cut(value: Any, at: slice) -> Any:
    if isinstance(value, Views):
        return value.take(at)
    return value[at] if isinstance(value, Tensor) else value


def _moved(part: Tensor, device: torch.device) -> Tensor:
    # From pinned memory the copy runs beside the step before; on the CPU there is nothing to move.
    return part.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else part
