"""What stops a run before it does harm: data that does not fit, numbers that are none, memory that is not there."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from distill.config.train_config import TrainConfig
from distill.training.loader import TrainData

# Where the loss has to be scaled down so far to keep float16 gradients finite, they are not too large but broken.
LEAST_SCALE = 1.0


class NonFiniteLoss(RuntimeError):
    """A loss term, or the `gradient`, that is not a number; the step was not made. `step` (from 1) and `term` tell."""

    def __init__(self, step: int, term: str, value: float) -> None:
        what = "the gradient" if term == "gradient" else f"loss term {term}"
        super().__init__(f"step {step}: {what} is {value}; lower lr, or train in float32")
        self.step, self.term = step, term


class OutOfMemory(RuntimeError):
    """The GPU has no room for a step; the message says of what size and what to try."""


def refuse_unfit(data: TrainData) -> None:
    """Raises ValueError where the parts of the data do not fit together, or there is nothing to learn from them."""
    rows = len(data.pixels)
    if not rows == len(data.labels) == len(data.teacher):
        raise ValueError(f"{rows} pictures, {len(data.labels)} labels and {len(data.teacher)} teacher features")
    width = data.live.teacher.width if data.live is not None else data.teacher.shape[2]
    if width != data.texts.shape[1]:
        raise ValueError(f"teacher features of width {width}, texts of {data.texts.shape[1]}")
    used = data.labels[data.usable]
    if len(used) and not 0 <= used.min() <= used.max() < len(data.texts):
        raise ValueError(f"labels outside the {len(data.texts)} texts")
    if len(used) and len(np.unique(used)) == 1:
        raise ValueError("all usable images are of one label: two are the least that can be told apart")
    finite = torch.isfinite(data.teacher[data.usable]).all(dim=2).all(dim=1)
    if not finite.all() or not torch.isfinite(data.texts).all():
        raise ValueError(f"{int((~finite).sum())} teacher image features or some text features are not finite")


def finite(
    parts: Sequence[Mapping[str, Tensor]], gradients: Sequence[Tensor], scaler: torch.amp.GradScaler, step: int
) -> dict[str, float]:
    """Each term's mean over the parts of a batch. Raises NonFiniteLoss for a term, or gradients, that are not finite.

    Gradients that `scaler` scaled may be too large for float16 now and then; it then leaves out the step by itself.
    """
    names = list(parts[0])
    known = [part[name].detach().float() for part in parts for name in names]
    scaled = scaler.is_enabled()
    norm = torch.zeros(()) if scaled or not gradients else torch.nn.utils.get_total_norm(gradients)
    *flat, length = torch.stack([*known, norm.to(known[0].device)]).tolist()
    for at, value in enumerate(flat):
        if not math.isfinite(value):
            raise NonFiniteLoss(step, names[at % len(names)], value)
    if not math.isfinite(length) or scaled and scaler.get_scale() < LEAST_SCALE:
        raise NonFiniteLoss(step, "gradient", length if not scaled else math.inf)
    return {name: sum(flat[at :: len(names)]) / len(parts) for at, name in enumerate(names)}


@contextmanager
def told_of_memory(config: TrainConfig, batch_size: int) -> Iterator[None]:
    """Turns torch's error for a GPU without room into OutOfMemory."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        in_parts = f" in {config.schedule.accumulate} parts" if config.schedule.accumulate > 1 else ""
        half = "" if config.system.precision != "float32" else ", or set precision to bfloat16"
        raise OutOfMemory(
            f"a batch of {batch_size} images of {config.student.image_px} px{in_parts} does not fit on the GPU: "
            f"set accumulate to {2 * config.schedule.accumulate}, lower batch_size or image_px{half}"
        ) from error
