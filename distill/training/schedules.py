"""Learning rates as functions of where a run is, and the optimisers that follow them.

`step` and `one_cycle` are the schedules of arXiv:2307.03135's recipes, moved once an epoch; `cosine` moves every step,
and so does `one_cycle` where it is asked to, as torch's OneCycleLR is meant to be used.
With nothing but the position to go by, a resumed run needs no scheduler state.
"""

import math
from collections.abc import Iterable

import torch
from torch import nn

from distill.config.train_config import TrainConfig

# torch's OneCycleLR: from peak / 25 up to the peak over 30% of the moves, then down to peak / 25e4; and its
# momentum (or first beta), which goes the other way.
START_DIVISOR, END_DIVISOR, RISE = 25.0, 25.0e4, 0.3
MOMENTUM_LOW, MOMENTUM_HIGH = 0.85, 0.95


def step_rate(epoch: int, *, peak: float, milestones: Iterable[int], factor: float) -> float:
    """The peak, times `factor` for each of the milestones that `epoch` (from 0) has reached."""
    return peak * factor ** sum(epoch >= milestone for milestone in milestones)


def cosine_rate(step: int, *, total_steps: int, peak: float, warmup: float) -> float:
    """A straight rise to the peak over the first `warmup` of the steps, then half a cosine down towards 0."""
    rise = round(warmup * total_steps)
    if step < rise:
        return peak * warmup_share(step, total_steps=total_steps, warmup=warmup)
    return peak * (1 + math.cos(math.pi * (step - rise) / (total_steps - rise))) / 2


def warmup_share(step: int, *, total_steps: int, warmup: float) -> float:
    """The part of its rate that `step` (from 0) has while a run warms up: a straight rise to 1."""
    rise = round(warmup * total_steps)
    return (step + 1) / rise if step < rise else 1.0


def one_cycle_rate(at: int, *, total: int, peak: float) -> float:
    """OneCycleLR's rate at move `at` (from 0; an epoch, or a step) of `total`; a run of one move has the peak."""
    return _one_cycle(at, total, peak / START_DIVISOR, peak, peak / END_DIVISOR)


def one_cycle_momentum(at: int, *, total: int) -> float:
    """OneCycleLR's momentum, or first beta, at move `at` (from 0) of `total`."""
    return _one_cycle(at, total, MOMENTUM_HIGH, MOMENTUM_LOW, MOMENTUM_HIGH)


def _one_cycle(at: int, total: int, start: float, middle: float, end: float) -> float:
    if total == 1:
        return middle
    top = RISE * total - 1
    if at <= top:
        return _anneal(start, middle, at / top if top > 0 else 1.0)
    return _anneal(middle, end, (at - top) / (total - 1 - top))


def _anneal(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


def build_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW with `momentum` as its first beta; weight decay on every parameter, as published."""
    if config.optimizer.name == "sgd":
        return torch.optim.SGD(
            model.parameters(),
            lr=config.optimizer.lr,
            momentum=config.optimizer.momentum,
            weight_decay=config.optimizer.weight_decay,
            fused=True,
        )
    betas = (config.optimizer.momentum, 0.999)
    return torch.optim.AdamW(
        model.parameters(), lr=config.optimizer.lr, betas=betas, weight_decay=config.optimizer.weight_decay, fused=True
    )


def set_rates(optimizer: torch.optim.Optimizer, config: TrainConfig, *, step: int, steps_per_epoch: int) -> float:
    """Give the optimiser the rate (and for one_cycle the momentum) of `step` (from 0), and return the rate."""
    epoch, momentum = step // steps_per_epoch, config.optimizer.momentum
    total_steps = config.schedule.epochs * steps_per_epoch
    if config.schedule.kind == "step":
        rate = step_rate(
            epoch, peak=config.optimizer.lr, milestones=config.schedule.milestones, factor=config.schedule.step_factor
        )
        rate *= warmup_share(step, total_steps=total_steps, warmup=config.schedule.warmup)
    elif config.schedule.kind == "one_cycle":
        at, total = (epoch, config.schedule.epochs) if config.schedule.one_cycle_per == "epoch" else (step, total_steps)
        rate = one_cycle_rate(at, total=total, peak=config.optimizer.lr)
        momentum = one_cycle_momentum(at, total=total)
    else:
        rate = cosine_rate(step, total_steps=total_steps, peak=config.optimizer.lr, warmup=config.schedule.warmup)
    for group in optimizer.param_groups:
        group["lr"] = rate
        if "betas" in group:
            group["betas"] = (momentum, group["betas"][1])
        else:
            group["momentum"] = momentum
    return rate
