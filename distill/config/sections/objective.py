"""The loss terms, their weights and settings. Imports no torch."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from distill.config.sections.base import ConfigSection, Fraction
from distill.config.sections.losses import LossWeights

ClassWeights = Literal["none", "inverse", "inverse_sqrt", "effective"]
Phrases = Literal["seen", "all"]
ProjectorKind = Literal["linear", "mlp"]


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
    vlalign_teacher_gradient: bool = Field(
        False,
        description="With learned context vectors, L-vlalign also moves them towards texts that are easy for the "
        "teacher, as published.",
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
    tuned_teacher: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] | None = Field(
        None,
        description="Before the training, learn a linear map of the teacher's image features on the seen labels, "
        "pulled to the identity with this weight; if null, none. It can cost accuracy on unseen labels: the run prints "
        "how much.",
    )
    projector: Literal["none", "linear", "mlp"] = Field(
        "none",
        description="A learned map of the student's features for the terms of image features alone (`mse`, `im_cst`, "
        "`queue_kl`, `fd`, `neighbour`); it starts as the identity and is dropped after the training.",
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
    label_offset: Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)] | Literal["teacher"] = Field(
        "teacher",
        description="In the losses `bce` and `asl`, the cosine of image and text at which the probability of a label "
        "is one half; `teacher`: where the teacher expects as many labels as the training images have.",
    )
    asl_gamma_positive: float = Field(
        0.0, ge=0, le=20, allow_inf_nan=False, description="Focusing of the labels of an image in the loss `asl`."
    )
    asl_gamma_negative: float = Field(
        4.0, ge=0, le=20, allow_inf_nan=False, description="Focusing of the other labels in the loss `asl`."
    )
    asl_shift: Fraction = Field(
        0.05, description="Probability below which the loss `asl` ignores a label that an image does not have."
    )
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

    @field_validator("asl_gamma_positive", "asl_gamma_negative")
    @classmethod
    def _gamma_has_a_gradient(cls, gamma: float) -> float:
        if 0 < gamma < 1:
            raise ValueError(
                f"a focusing of {gamma} has an infinite gradient at a probability of 0: give 0, or at least 1"
            )
        return gamma
