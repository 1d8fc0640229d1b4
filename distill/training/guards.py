"""Checks that stop a run early: inconsistent data, non-finite losses and out-of-memory."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from distill.config.train_config import TrainConfig
from distill.training.loader import TrainData

# If the loss scale falls below this and float16 gradients are still not finite, they are wrong, not merely large.
MIN_LOSS_SCALE = 1.0


class NonFiniteLoss(RuntimeError):
    """Loss term `term`, or the `gradient`, is not finite in `step` (from 1); that step was not made."""

    def __init__(self, step: int, term: str, value: float) -> None:
        name = "the gradient" if term == "gradient" else f"loss term {term}"
        super().__init__(f"step {step}: {name} is {value}; lower lr, or train in float32")
        self.step, self.term = step, term


class OutOfMemory(RuntimeError):
    """A step does not fit into the memory of the GPU; the message names the sizes and the settings to change."""


def check_train_data(data: TrainData) -> None:
    """Raises ValueError for data whose parts are inconsistent, not finite, or all of one label."""
    rows = len(data.pixels)
    if not rows == len(data.labels) == len(data.teacher):
        raise ValueError(
            f"{rows} images, {len(data.labels)} labels and {len(data.teacher)} teacher features: numbers must be equal"
        )
    width = data.live.teacher.width if data.live is not None else data.teacher.shape[2]
    if width != data.texts.shape[1]:
        raise ValueError(f"teacher features of width {width}, texts of {data.texts.shape[1]}: widths must be equal")
    labelled = np.setdiff1d(data.usable, data.unlabelled)
    used = data.labels[labelled]
    if data.label_sets is not None:
        used = np.array([label for row in labelled.tolist() for label in data.label_sets[row]], dtype=np.int64)
    if len(used) and not 0 <= used.min() <= used.max() < len(data.texts):
        raise ValueError(f"label indices from {used.min()} to {used.max()} do not fit {len(data.texts)} texts")
    if len(used) and len(np.unique(used)) == 1:
        raise ValueError("all usable images have the same label: training needs at least two labels")
    finite = torch.isfinite(data.teacher[data.usable]).all(dim=2).all(dim=1)
    if not finite.all() or not torch.isfinite(data.texts).all():
        raise ValueError(f"{int((~finite).sum())} teacher image features or some text features are not finite")


def finite_losses(
    parts: Sequence[Mapping[str, Tensor]], gradients: Sequence[Tensor], scaler: torch.amp.GradScaler, step: int
) -> dict[str, float]:
    """Each loss term as a float, averaged over the parts of a batch. Raises NonFiniteLoss for a term or a gradient.

    Scaled float16 gradients may overflow occasionally; `scaler` then skips the step, and this is no error.
    """
    names = list(parts[0])
    losses = [part[name].detach().float() for part in parts for name in names]
    scaled = scaler.is_enabled()
    norm = torch.zeros(()) if scaled or not gradients else torch.nn.utils.get_total_norm(gradients)
    # One copy from the GPU for all numbers.
    *values, gradient_norm = torch.stack([*losses, norm.to(losses[0].device)]).tolist()
    for position, value in enumerate(values):
        if not math.isfinite(value):
            raise NonFiniteLoss(step, names[position % len(names)], value)
    if not math.isfinite(gradient_norm) or scaled and scaler.get_scale() < MIN_LOSS_SCALE:
        raise NonFiniteLoss(step, "gradient", gradient_norm if not scaled else math.inf)
    return {name: sum(values[position :: len(names)]) / len(parts) for position, name in enumerate(names)}


@contextmanager
def explain_out_of_memory(config: TrainConfig, batch_size: int) -> Iterator[None]:
    """Turn torch's out-of-memory error into OutOfMemory."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        in_parts = f" in {config.schedule.accumulate} parts" if config.schedule.accumulate > 1 else ""
        or_precision = "" if config.system.precision != "float32" else ", or set precision to bfloat16"
        raise OutOfMemory(
            f"a batch of {batch_size} images of {config.student.size} px{in_parts} does not fit on the GPU: "
            f"set accumulate to {2 * config.schedule.accumulate}, lower batch_size or image_px{or_precision}"
        ) from error
