"""What a training run is asked to do, and the names it may use: validated once, here, without torch.

`TrainConfig` is the whole of a run's request; a recipe is a function that returns one, and a variant of it is
`resolve_train_config("limbeck", {"epochs": 10, "losses": {"mse": 0}})`. Names of students and teachers are
held against `distill/catalog.json`, so that a room without torch can refuse one that no library knows.
Source of the `li2023_*` recipes: Li et al., ICCV 2023 (arXiv:2307.03135), as read in its published code.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from distill import catalog
from distill.prompts import TextKind as TextKind
from distill.terms import TERMS

TEXT_KINDS: tuple[str, ...] = get_args(TextKind)

# What may change between two sittings of a run without changing what it computes.
FREE_FIELDS = frozenset({"device", "num_workers", "threads", "save_every_s"})

Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


class _Frozen(BaseModel):
    """Immutable, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _no_such_loss(name: str) -> PydanticCustomError:
    near = difflib.get_close_matches(name, TERMS, n=3, cutoff=0.5)
    hint = f"near it: {', '.join(near)}" if near else f"there are {', '.join(TERMS)}"
    return PydanticCustomError("loss_unknown", 'no loss is called "{name}"; {hint}', {"name": name, "hint": hint})


class _Weights(_Frozen):
    """A weight for each name in `distill.terms.TERMS`; a term of weight 0 is not computed."""

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        unknown = [name for name in given if name not in TERMS] if isinstance(given, Mapping) else []
        if unknown:
            # At the name itself, so that whoever asked is pointed there.
            errors = [
                InitErrorDetails(type=_no_such_loss(str(name)), loc=(name,), input=given[name]) for name in unknown
            ]
            raise ValidationError.from_exception_data(cls.__name__, errors)
        return given

    @model_validator(mode="after")
    def _some_term(self) -> Self:
        if not self.above_zero():
            raise ValueError(f"at least one of {', '.join(TERMS)} must be above 0, or there is nothing to train for")
        return self

    def above_zero(self) -> dict[str, float]:
        """The weights of the terms that count, by name, in the order of the register."""
        return {name: weight for name in TERMS if (weight := getattr(self, name)) > 0}


# Made from the register, so that a term is written down once.
_FIELDS: dict[str, Any] = {name: (Weight, term.weight) for name, term in TERMS.items()}
LossWeights = create_model("LossWeights", __base__=_Weights, __module__=__name__, __doc__=_Weights.__doc__, **_FIELDS)


class Augmentation(_Frozen):
    """RandAugment, random resized crop and horizontal flip, in this order.

    `crop_scale`: share of the image's area; `crop_ratio`: width over height, drawn evenly in the logarithm.
    `rand_ops`: RandAugment's operations, one after the other (0: none), each of strength `rand_magnitude` of 30.
    `per`: an image has its own of all this, or a batch has one for all its images, as the published code does.
    """

    crop_scale: tuple[float, float] = (0.35, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: bool = True
    rand_ops: int = Field(default=0, ge=0, le=8)
    rand_magnitude: int = Field(default=9, ge=0, le=30)
    per: Literal["image", "batch"] = "image"

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if not 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1:
            raise ValueError(f"crop_scale {self.crop_scale} must rise within (0, 1]")
        if not 0.1 <= self.crop_ratio[0] <= self.crop_ratio[1] <= 10:
            raise ValueError(f"crop_ratio {self.crop_ratio} must rise within [0.1, 10]")
        return self


class TrainConfig(_Frozen):
    """One training run.

    `view`: what the teacher sees of an image. Once, and cached: `center` is its own preprocessing, `squash` the whole
    picture squashed to its size, as published. `same`: the crop and flip that the student sees, `num_views` of them an
    image, drawn and encoded once and cached, one after the other in the passes. `live`: every view of the student.
    `mse_form` to `unseen_neighbours`: settings of the terms, as `docs/objectives.md` tells them; `queue_size` counts
    teacher features. `context_tokens`: vectors learned in the place of `a photo of` (CoOp; 8 as published, 0 for none).
    `test_crop`: side of the centre crop at evaluation, as a share of the squashed picture's side.
    `schedule`: `step` multiplies the rate by `step_factor` at each of `milestones` (epochs); `one_cycle` moves once an
    epoch, as published, or every step (`one_cycle_per`); `cosine` moves every step, down to 0. `step` and `cosine`
    begin with a straight rise over `warmup` (share of all steps); `one_cycle` has its own.
    `passes_per_epoch`: times the training images are gone through in what the schedule calls an epoch.
    one_cycle_per: Literal["epoch", "step"] = "epoch"
    warmup: Fraction = 0.0
    average: Literal["off", "mean", "ema"] = "off"
    average_from: Fraction = 0.0
    ema_decay: float = Field(default=0.999, gt=0, lt=1)
