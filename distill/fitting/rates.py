"""Measures how fast this machine reads images, encodes views and makes steps, to choose the length of a training.

Before there are teacher views, a step is measured on random images and the teacher on random inputs (`first_rates`);
then the first steps are made on the images of the training, with a student that is thrown away (`step_seconds`).
The measurement changes nothing of the training, whose random choices are functions of its seed and step.
B images of a batch, K labels, D embedding width, S height and T width of the stored images.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from distill.config.loss_registry import LOSS_TERMS
from distill.config.time_budget import Rates
from distill.config.train_config import LossWeights, ObjectiveConfig, ScheduleConfig, TrainConfig, merged
from distill.data.decoded_images import squash, train_size
from distill.data.image_store import load_image
from distill.teacher.image_features import CPU_BATCH, GPU_BATCH
from distill.teacher.teacher import Teacher
from distill.teacher.views.view_features import teacher_side_px
from distill.training.device import choose_device
from distill.training.distributed import current_ranks
from distill.training.loader import TrainData
from distill.training.loop import open_batches, training_step
from distill.training.setup import prepare_training

WARM_UP_STEPS, MIN_STEPS, MAX_STEPS, MIN_SECONDS = 2, 3, 30, 3.0
MAX_PROBE_BATCH = 32
"""On a CPU the time of a step is proportional to its images: a small batch is enough for a rate."""
NUM_DECODED = 32


def first_rates(
    config: TrainConfig, teacher: Teacher, paths: Sequence[Path], root: Path | None, step_images: int
) -> Rates:
    """The rates of this process before any view is encoded. `paths`: files of some training images.

    `step_images`: as of `random_step_seconds`.
    """
    has_views = config.data.protocol != "closed_set"
    return Rates(
        decode_s=decode_seconds(config, teacher, paths),
        view_s=view_seconds(teacher) if has_views else 0.0,
        step_s=random_step_seconds(config, teacher.width, root, step_images=step_images),
    )


def decode_seconds(config: TrainConfig, teacher: Teacher, paths: Sequence[Path]) -> float:
    """Seconds per image of reading, decoding and resizing, with the threads of the config; unusable files count too."""
    chosen = paths[:: max(len(paths) // NUM_DECODED, 1)][:NUM_DECODED]
    sizes = [train_size(config.student.size)]
    if config.data.protocol != "closed_set" and config.data.view in ("same", "live"):
        sizes.append(train_size(teacher_side_px(teacher)))

    def decode(path: Path) -> None:
        with suppress(OSError, ValueError):
            if (image := load_image(path, config.data.background).image) is not None:
                for size in sizes:
                    squash(image, size)

    started = time.perf_counter()
    with ThreadPoolExecutor(config.system.num_workers) as pool:
        list(pool.map(decode, chosen))
    return (time.perf_counter() - started) / max(len(chosen), 1)


def view_seconds(teacher: Teacher) -> float:
    """Seconds of the teacher per view."""
    height, width = teacher.preprocess["size"]
    inputs = torch.randn(GPU_BATCH if teacher.device.type == "cuda" else CPU_BATCH, 3, int(height), int(width))
    inputs = inputs.to(teacher.device)

    def encode() -> None:
        teacher.encode_images(inputs).cpu()  # on the CPU, so that a GPU has finished

    return _seconds_of(encode) / len(inputs)


def random_step_seconds(
    config: TrainConfig, width: int, root: Path | None = None, *, step_images: int | None = None
) -> float:
    """Seconds of a step of all ranks on random images and features. Every rank must call this.

    The loss is the cheapest, because the student takes the time. A CPU makes steps of fewer images. `step_images`: of a
    step of all ranks, where there are fewer training images than the config's batch.
    """
    ranks, device, schedule = current_ranks(), choose_device(config.system.device), config.schedule
    of_step = schedule.batch_size if step_images is None else min(step_images, schedule.batch_size)
    share = max(of_step // (ranks.world_size * schedule.accumulate), 2)  # of a rank in a micro-batch
    num_images = share if device.type == "cuda" else min(share, MAX_PROBE_BATCH)
    # Data and objective have their defaults, so that no loss and no view needs what random data lack.
    plain = TrainConfig(
        student=config.student,
        objective=ObjectiveConfig(losses=LossWeights(**{name: float(name == "mse") for name in LOSS_TERMS})),
        optimizer=config.optimizer,
        schedule=ScheduleConfig(batch_size=num_images * ranks.world_size),
        weight_average=config.weight_average,
        system=config.system,
    )
    probe = _probe(plain)
    data = _random_data(probe, num_images * ranks.world_size, width)
    return _step_seconds(probe, data, root) / num_images * share * schedule.accumulate


def step_seconds(config: TrainConfig, data: TrainData, root: Path | None = None) -> float:
    """Seconds of a step of all ranks on the images of the training, without views that are encoded once.

    Every rank must call this.
    """
    if data.to_encode is not None:  # the views are counted apart
        data = replace(data, to_encode=None, teacher=data.teacher[:1, :1].expand(data.teacher.shape))
    # A student that fine-tunes a bundle is as fast with random weights.
    return _step_seconds(_probe(config), data, root)


def _probe(config: TrainConfig) -> TrainConfig:
    """The config of a measurement, with enough steps: no weights are read, and nothing is compiled."""
    changes = {
        "student": {"pretrained": False, "weights": None},
        "system": {"compile": "off"},
        "schedule": {"epochs": MAX_STEPS, "automatic": (), "time_budget_s": None, "images_seen": None},
    }
    return TrainConfig.model_validate(merged(config.model_dump(), changes))


def _random_data(config: TrainConfig, num_images: int, width: int) -> TrainData:
    """Images, features and two texts of random numbers: as many images as a batch of all ranks."""
    numbers = np.random.default_rng(0)
    size = train_size(config.student.size)
    return TrainData(
        pixels=numbers.integers(0, 256, (num_images, size.height, size.width, 3), dtype=np.uint8),
        labels=np.arange(num_images, dtype=np.int64) % 2,
        teacher=torch.from_numpy(numbers.standard_normal((num_images, 1, width)).astype(np.float16)),
        texts=torch.from_numpy(numbers.standard_normal((2, width)).astype(np.float32)),
        usable=np.arange(num_images, dtype=np.int64),
        digests={},
    )


def _step_seconds(config: TrainConfig, data: TrainData, root: Path | None) -> float:
    """The median time of some steps after a warm-up, of a student that is thrown away."""
    run = prepare_training(config, data, root=root)
    seconds: list[float] = []
    with open_batches(run, data) as read:
        ended = started = time.perf_counter()
        for number, batch in enumerate(read, start=1):
            training_step(run, batch)  # its losses are numbers of the host, so that a GPU has finished
            now = time.perf_counter()
            seconds += [now - ended] if number > WARM_UP_STEPS else []
            ended = now
            enough = len(seconds) >= MAX_STEPS or (len(seconds) >= MIN_STEPS and ended - started >= MIN_SECONDS)
            if run.ranks.any(enough):
                break
    return float(np.median(seconds)) if seconds else ended - started


def _seconds_of(call: Callable[[], None]) -> float:
    """The mean time of some calls after the first one."""
    call()
    started, count = time.perf_counter(), 0
    while count == 0 or (time.perf_counter() - started < MIN_SECONDS / 3 and count < MAX_STEPS):
        call()
        count += 1
    return (time.perf_counter() - started) / count
