"""The batches of a run: how many steps it has, and what a batch is made of. Imports neither torch nor numpy.

In fine-tuning, half of every batch is few-shot images; if there are at most half a batch of them, every batch holds all
of them and is filled with other images (arXiv:2307.03135). A share of every batch may be unlabelled images.
"""

from dataclasses import dataclass

from distill.config.train_config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class BatchSplit:
    """Composition of a batch: `few` few-shot images and `others` other images."""

    few: int
    others: int


@dataclass(frozen=True, kw_only=True)
class BatchPlan:
    """The number of steps of a run and the size of its batches over all ranks, at most the number of images.

    `split`: number of few-shot images and of other labelled images in a batch. `num_unlabelled`: in a batch.
    `images_per_pass`: the images, other than few-shot and unlabelled ones, that the batches of a pass use.
    """

    batch_size: int
    split: BatchSplit
    num_unlabelled: int = 0
    images_per_pass: int
    steps_per_pass: int
    steps_per_epoch: int
    total_steps: int


def plan_batches(
    config: TrainConfig, num_images: int, num_ranks: int = 1, *, num_few: int = 0, has_unlabelled: bool = False
) -> BatchPlan:
    """The batches of a run over `num_images` labelled ones, of which `num_few` are few-shot.

    A pass uses each of the others once. With `has_unlabelled`, each batch has unlabelled images in addition.

    Raises ValueError for fewer than two images in each part of a batch, for a batch size that is no multiple of the
    number of parts, and for data of few-shot images only.
    """
    parts = num_ranks * config.schedule.accumulate
    if num_images < 2 * parts:
        each = f" for each of the {parts} parts of a batch" if parts > 1 else ""
        raise ValueError(f"{num_images} usable images to train on: at least two are needed{each}")
    if config.schedule.batch_size % parts:
        raise ValueError(
            f"batch_size {config.schedule.batch_size} is no multiple of {parts} "
            f"({num_ranks} ranks times accumulate {config.schedule.accumulate})"
        )
    if num_few >= num_images:
        raise ValueError(f"all {num_images} usable images are few-shot images: the images of the ID labels are missing")
    unlabelled = (
        num_unlabelled(config.schedule.batch_size, config.data.unlabelled_share, parts) if has_unlabelled else 0
    )
    num_labelled = min(config.schedule.batch_size - unlabelled, num_images)
    split = split_batch(num_labelled, num_few, num_images - num_few, parts)
    if split.few + split.others < 2 * parts:
        raise ValueError(
            f"{num_images - num_few} usable images other than few-shot ones: too few for {parts} parts of a batch"
        )
    steps_per_pass, left_over = divmod(num_images - num_few, split.others)
    images_per_pass = steps_per_pass * split.others
    if config.schedule.last_batch == "keep":
        # Ranks and micro-batches have equal parts of at least two images, because batch norm needs two.
        last = (split.few + left_over) // parts * parts
        if left_over and last > split.few and last >= 2 * parts:
            images_per_pass, steps_per_pass = images_per_pass + last - split.few, steps_per_pass + 1
    steps_per_epoch = steps_per_pass * config.schedule.passes_per_epoch
    return BatchPlan(
        batch_size=split.few + split.others + unlabelled,
        split=split,
        num_unlabelled=unlabelled,
        images_per_pass=images_per_pass,
        steps_per_pass=steps_per_pass,
        steps_per_epoch=steps_per_epoch,
        total_steps=steps_per_epoch * config.schedule.epochs,
    )


def split_batch(batch_size: int, num_few: int, num_others: int, parts: int = 1) -> BatchSplit:
    """Composition of a batch of at most `batch_size` images, rounded down to a multiple of `parts`.

    `num_few`, `num_others`: numbers of available images; `num_others` must be above 0.
    """
    few = batch_size // 2 if num_few > batch_size // 2 else num_few
    total = (few + min(batch_size - few, num_others)) // parts * parts
    few = min(few, total - 1)
    return BatchSplit(few=few, others=total - few)


def num_unlabelled(batch_size: int, share: float, parts: int) -> int:
    """Unlabelled images in a batch: `share` of it, a multiple of `parts`, and at most what leaves two others a part."""
    wanted = int(batch_size * share / parts + 0.5) * parts
    return max(0, min(wanted, batch_size - 2 * parts))
