"""The loss terms, their weights and settings. Imports no torch."""

from typing import Annotated, Literal

from pydantic import Field

from distill.config.sections.base import ConfigSection
from distill.config.sections.losses import LossWeights

ClassWeights = Literal["none", "inverse", "inverse_sqrt", "effective"]
Phrases = Literal["seen", "all"]


class ObjectiveConfig(ConfigSection):
    """The loss terms, their weights and settings."""

    losses: LossWeights = Field(LossWeights(), description="Weight of each loss term.")
    mse_form: Literal["normalised", "unnormalised"] = Field("normalised", description="Form of L-mse.")
    im_cst_mode: Literal["both", "image_to_teacher"] = Field("both", description="Directions of L-im-cst.")
    temperature: float = Field(
        0.07, ge=0.001, le=100, allow_inf_nan=False, description="Softmax temperature of the loss terms."
    )
    class_weights: ClassWeights = Field(
        "none",
        description="Weight of an image in L-cls and `closed_set`, by the number n of training images of its label: "
        "1 / n, 1 / sqrt(n), or the effective number of images, (1 - b) / (1 - b^n) with b = `effective_beta` "
        "(arXiv:1901.05555).",
    )
    effective_beta: float = Field(
        0.999, ge=0, lt=1, allow_inf_nan=False, description="b of the class weights `effective`."
    )
    vlalign_top_k: int = Field(256, ge=1, description="Labels per image in L-vlalign: the teacher's top k.")
    vlalign_only_right: bool = Field(
        False, description="L-vlalign uses only the images whose label is the teacher's first choice."
    )
    phrases: Phrases = Field(
        "seen",
        description="The bank of attribute phrases of the term `phrase_kl`: those of the labels that are trained on, "
        "or of all labels; with `all`, accuracy on unseen labels is no longer zero-shot for these phrases.",
    )
    phrase_top_k: int = Field(256, ge=1, description="Phrases per image in the term `phrase_kl`: the teacher's top k.")
    phrase_temperature: float = Field(
        0.07, ge=0.001, le=100, allow_inf_nan=False, description="Softmax temperature of the term `phrase_kl`."
    )
    cap_temperature: float = Field(
        1.0, ge=0.001, le=100, allow_inf_nan=False, description="Softmax temperature of L-cap."
    )
    affinity_scale: Literal["temperature", "teacher"] = Field(
        "temperature",
        description="Scale of the affinities: 1 / `temperature`, or the teacher's own logit scale, as published.",
    )
    queue_size: Annotated[int, Field(ge=2, le=1_000_000)] | None = Field(
        4096,
        description="Teacher features kept in the queue; if null, as many as there are training images, from one batch "
        "to 65,536.",
    )
    unseen_neighbours: int = Field(2, ge=1, description="Nearest unseen labels per image in the term `unseen`.")
    context_tokens: int = Field(
        0,
        ge=0,
        le=64,
        description="Learned context vectors in place of `a photo of` (CoOp; 8 as published; 0 for none).",
    )
    second_stop: bool = Field(
        False,
        description="Texts after learned context vectors that end in a full stop get a second one, as published.",
    )
