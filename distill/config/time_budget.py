"""Fits the length of a training to a time, from measured rates. Pure functions, no torch.

A longer training has more epochs and, where the number of teacher views is automatic, more views of each image. N
images to train on, V cached teacher views of each.
"""

import math
from dataclasses import dataclass

from distill.config.automatic import views_of_passes, with_epochs
from distill.config.batch_plan import BatchPlan
from distill.config.train_config import TrainConfig, merged
from limbeck.shared.text import counted, time_text

MARGIN = 0.05
"""Share of a time budget that is left for saved states and slower steps."""
MAX_EPOCHS = 100_000


class TimeBudgetTooShort(ValueError):
    """Less than one epoch fits into the time; the message says what does."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Measured seconds: of reading and decoding an image, of encoding one view with the teacher, and of a step.

    A step of a live teacher does not include its views here, unless it was measured on the images of the training
    (`step_has_views`).
    """

    decode_s: float
    view_s: float
    step_s: float
    step_has_views: bool = False


@dataclass(frozen=True, kw_only=True)
class Duration:
    """Seconds of a training by what they are spent on."""

    decoding: float
    views: float
    steps: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.decoding + self.views + self.steps


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A training whose images are decoded. `missing`: share of its teacher views that have no feature yet."""

    missing: float


def duration(
    config: TrainConfig, plan: BatchPlan, num_images: int, rates: Rates, prepared: Prepared | None = None
) -> Duration:
    """How long a training of `config` takes at these rates. `plan`: its batches, of which an epoch's count.

    `prepared`: what is done already.
    """
    steps = plan.steps_per_epoch * config.schedule.epochs
    step_s = rates.step_s
    if config.data.view == "live" and not rates.step_has_views:
        step_s += plan.batch_size * rates.view_s
    views = num_images * cached_views(config) * rates.view_s
    if prepared is not None:
        return Duration(decoding=0.0, views=views * prepared.missing, steps=steps * step_s)
    return Duration(decoding=num_images * rates.decode_s, views=views, steps=steps * step_s)


def cached_views(config: TrainConfig) -> int:
    """Teacher views of an image that are encoded once."""
    if not config.data.encodes_training_images:
        return 0
    passes = config.schedule.epochs * config.schedule.passes_per_epoch
    return min(config.data.num_views, passes) if config.data.view == "same" else 1


def fit_to_time(
    config: TrainConfig,
    plan: BatchPlan,
    num_images: int,
    rates: Rates,
    seconds: float,
    *,
    prepared: Prepared | None = None,
) -> TrainConfig:
    """The config with the most epochs, and their teacher views, that fit into `seconds`.

    `prepared`: what is done already; the number of views is then as it is. Raises TimeBudgetTooShort.
    """

    def of(epochs: int) -> TrainConfig:
        tried = with_epochs(config, epochs)
        if prepared is not None or "num_views" not in config.schedule.automatic:
            return tried
        views = views_of_passes(epochs * config.schedule.passes_per_epoch)
        return TrainConfig.model_validate(merged(tried.model_dump(), {"data": {"num_views": views}}))

    def taken(epochs: int) -> float:
        return duration(of(epochs), plan, num_images, rates, prepared).total

    usable = seconds * (1 - MARGIN)
    if taken(1) > usable:
        least = duration(of(1), plan, num_images, rates, prepared)
        raise TimeBudgetTooShort(_too_short(least, plan, config, seconds, is_prepared=prepared is not None))
    fits, too_long = 1, 2
    while too_long <= MAX_EPOCHS and taken(too_long) <= usable:
        fits, too_long = too_long, too_long * 2
    too_long = min(too_long, MAX_EPOCHS + 1)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        fits, too_long = (middle, too_long) if taken(middle) <= usable else (fits, middle)
    return of(fits)


def _too_short(least: Duration, plan: BatchPlan, config: TrainConfig, seconds: float, *, is_prepared: bool) -> str:
    steps = f"{time_text(least.steps)} for {counted(plan.steps_per_epoch, 'step')}"
    budget, left = time_text(config.schedule.time_budget_s or seconds), time_text(max(seconds, 0))
    if is_prepared:
        views = f" and {time_text(least.views)} for its teacher views" if least.views >= 1 else ""
        return (
            f"of the time budget of {budget}, {left} are left after the images were read, and one epoch takes {steps}"
            f"{views}: start again, which finds the images in the cache, or give more time"
        )
    spent = max((config.schedule.time_budget_s or seconds) - seconds, 0)
    needed = math.ceil(spent + least.total / (1 - MARGIN))
    parts = [f"{time_text(spent)} to measure"] if spent >= 1 else []
    parts += [f"{time_text(least.decoding)} to read the images"] if least.decoding else []
    parts += [f"{time_text(least.views)} for one teacher view of each"] if least.views else []
    least_text = f"{needed}s" if needed < 60 else f"{math.ceil(needed / 60)}m"
    return (
        f"a time budget of {budget} is too short for one epoch, which takes about {time_text(needed)} here "
        f"({', '.join([*parts, steps])}): give at least {least_text}, or choose a smaller student, image_px or teacher"
    )


def chosen_text(config: TrainConfig, expected: Duration, plan: BatchPlan, rates: Rates) -> str:
    """One line: what was chosen for a time budget, and from which rates."""
    budget = time_text(config.schedule.time_budget_s or 0)
    views = f"{cached_views(config)} teacher views of each image, " if cached_views(config) > 1 else ""
    rate = plan.batch_size / rates.step_s if rates.step_s else math.inf
    encoded = f", {1 / rates.view_s:,.1f} views/s encoded" if rates.view_s else ""
    return (
        f"time budget {budget}: {counted(config.schedule.epochs, 'epoch')}, {views}about {time_text(expected.total)}, "
        f"because {rate:,.1f} images/s are trained{encoded}"
    )
