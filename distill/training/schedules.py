"""Learning-rate schedules as functions of the position, and the optimizers that follow them.

`step` and `one_cycle` are the schedules of the recipes of arXiv:2307.03135 and change once per epoch. `cosine` changes
every step, and so does `one_cycle` if configured, as torch's OneCycleLR is meant to be used.
A resumed run needs no scheduler state, because the position determines the rate.
"""

import math
from collections.abc import Iterable

import torch
from torch import nn

from distill.config.train_config import OptimizerConfig, TrainConfig

# torch's OneCycleLR: from peak / 25 up to the peak over 30% of the updates, then down to peak / 25e4; its momentum (or
# first beta) goes the other way.
START_DIVISOR, END_DIVISOR, RISE_SHARE = 25.0, 25.0e4, 0.3
MOMENTUM_LOW, MOMENTUM_HIGH = 0.85, 0.95


def step_lr(epoch: int, *, peak: float, milestones: Iterable[int], factor: float) -> float:
    """The peak, multiplied by `factor` for each of the milestones that `epoch` (from 0) has reached."""
    return peak * factor ** sum(epoch >= milestone for milestone in milestones)


def cosine_lr(step: int, *, total_steps: int, peak: float, warmup: float) -> float:
    """A linear rise to the peak over the first `warmup` (0 to 1) of the steps, then half a cosine down towards 0."""
    warmup_steps = round(warmup * total_steps)
    if step < warmup_steps:
        return peak * warmup_factor(step, total_steps=total_steps, warmup=warmup)
    return peak * (1 + math.cos(math.pi * (step - warmup_steps) / (total_steps - warmup_steps))) / 2


def warmup_factor(step: int, *, total_steps: int, warmup: float) -> float:
    """The factor of the learning rate at `step` (from 0): a linear rise to 1 during warmup, then 1."""
    warmup_steps = round(warmup * total_steps)
    return (step + 1) / warmup_steps if step < warmup_steps else 1.0


def one_cycle_lr(index: int, *, total: int, peak: float) -> float:
    """OneCycleLR's rate at update `index` (from 0; an epoch or a step) of `total`; the peak if `total` is 1."""
    return _one_cycle(index, total, peak / START_DIVISOR, peak, peak / END_DIVISOR)


def one_cycle_momentum(index: int, *, total: int) -> float:
    """OneCycleLR's momentum, or first beta, at update `index` (from 0) of `total`."""
    return _one_cycle(index, total, MOMENTUM_HIGH, MOMENTUM_LOW, MOMENTUM_HIGH)


def _one_cycle(index: int, total: int, start: float, middle: float, end: float) -> float:
    if total == 1:
        return middle
    top = RISE_SHARE * total - 1
    if index <= top:
        return _cosine(start, middle, index / top if top > 0 else 1.0)
    return _cosine(middle, end, (index - top) / (total - 1 - top))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW with `momentum` as its first beta; weight decay on every parameter, as published."""
    if config.name == "sgd":
        return torch.optim.SGD(
            model.parameters(), lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay, fused=True
        )
    betas = (config.momentum, 0.999)
    return torch.optim.AdamW(
        model.parameters(), lr=config.lr, betas=betas, weight_decay=config.weight_decay, fused=True
    )


def set_learning_rate(
    optimizer: torch.optim.Optimizer, config: TrainConfig, *, step: int, steps_per_epoch: int
) -> float:
    """Set the learning rate (and for `one_cycle` the momentum) of `step` (from 0); returns the learning rate."""
    schedule, peak, momentum = config.schedule, config.optimizer.lr, config.optimizer.momentum
    epoch, total_steps = step // steps_per_epoch, schedule.epochs * steps_per_epoch
    if schedule.kind == "step":
        lr = step_lr(epoch, peak=peak, milestones=schedule.milestones, factor=schedule.step_factor)
        lr *= warmup_factor(step, total_steps=total_steps, warmup=schedule.warmup)
    elif schedule.kind == "one_cycle":
        index, total = (epoch, schedule.epochs) if schedule.one_cycle_per == "epoch" else (step, total_steps)
        lr = one_cycle_lr(index, total=total, peak=peak)
        momentum = one_cycle_momentum(index, total=total)
    else:
        lr = cosine_lr(step, total_steps=total_steps, peak=peak, warmup=schedule.warmup)
    for group in optimizer.param_groups:
        group["lr"] = lr
        if "betas" in group:
            group["betas"] = (momentum, group["betas"][1])
        else:
            group["momentum"] = momentum
    return lr
