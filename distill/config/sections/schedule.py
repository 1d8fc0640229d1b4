"""Optimizer, schedule, and average of the weights. Imports no torch."""

from typing import Annotated, Literal

from pydantic import Field

from distill.config.sections.base import ConfigSection, Fraction, Positive, Weight

Automatic = Literal["epochs", "num_views", "batch_size", "lr", "precision"]


class OptimizerConfig(ConfigSection):
    """The optimizer."""

    name: Literal["sgd", "adamw"] = Field("sgd", description="SGD with momentum, or AdamW.")
    lr: Positive = Field(0.05, description="Peak learning rate.")
    momentum: Fraction = Field(0.9, description="Momentum of SGD, first beta of AdamW.")
    weight_decay: Weight = Field(1e-4, description="Weight decay, applied to every parameter.")


class ScheduleConfig(ConfigSection):
    """Length of the run, batches and learning-rate schedule."""

    epochs: int = Field(90, ge=1, le=100_000, description="Epochs.")
    passes_per_epoch: int = Field(1, ge=1, le=1000, description="Passes over the training images per epoch.")
    batch_size: int = Field(128, ge=2, le=65_536, description="Images per step, over all processes.")
    last_batch: Literal["drop", "keep"] = Field(
        "drop",
        description="Images that do not fill the last batch of a pass: left out of that pass, or a smaller batch, as "
        "published.",
    )
    accumulate: int = Field(
        1,
        ge=1,
        le=4096,
        description="Micro-batches per batch, to save memory. Contrastive terms use the negatives of a micro-batch, "
        "and batch norm its statistics.",
    )
    kind: Literal["step", "one_cycle", "cosine"] = Field(
        "step",
        description="`step`: multiply by `step_factor` at each of `milestones`. `one_cycle`: torch's OneCycleLR. "
        "`cosine`: cosine decay to 0. `step` and `cosine` start with a linear warmup.",
    )
    milestones: tuple[int, ...] = Field((30, 60), max_length=100, description="Epochs of schedule `step`.")
    step_factor: float = Field(0.1, gt=0, le=1, description="Factor of schedule `step`.")
    one_cycle_per: Literal["epoch", "step"] = Field(
        "epoch", description="`one_cycle` advances once per epoch, as published, or per step."
    )
    warmup: Fraction = Field(0.0, description="Share of all steps with a linear warmup.")
    images_seen: Annotated[int, Field(ge=1, le=10**12)] | None = Field(
        None,
        description="Sets `epochs` so that the student sees about this many images, in place of a number of `epochs`.",
    )
    time_budget_s: Annotated[float, Field(ge=1, le=31_536_000, allow_inf_nan=False)] | None = Field(
        None,
        description="Sets `epochs` so that teacher views and training take about this many seconds, in place of a "
        "number of `epochs`: the worker measures its first steps and keeps what it chose in the training state.",
    )
    automatic: tuple[Automatic, ...] = Field(
        (),
        max_length=5,
        description="Settings that follow from the number of images, the student, and the device of the training. A "
        "recipe names them; a setting that is given is not changed.",
    )


class WeightAverageConfig(ConfigSection):
    """Average of the student's weights over steps."""

    kind: Literal["off", "mean", "ema"] = Field(
        "off", description="Deliver the last weights, their mean over steps, or their exponential moving average."
    )
    average_from: Fraction = Field(0.0, description="Share of all steps after which averaging starts.")
    ema_decay: float = Field(
        0.999,
        gt=0,
        lt=1,
        description="Decay of the exponential moving average, of the one that is delivered and of that of `ema_mse`.",
    )
