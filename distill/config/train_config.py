"""What a training run is asked to do, and the names it may use: validated once, here, without torch.

`TrainConfig` is the whole of a run's request; recipes are in `distill.config.recipes`. Names of students and teachers
are held against `distill/config/model_names.json`, so that a room without torch can refuse one that no library knows.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from distill.config import model_names
from distill.config.loss_registry import TERMS

# What may change between two sittings of a run without changing what it computes.
FREE_FIELDS = frozenset({"device", "num_workers", "threads", "save_every_s", "decoded_gb"})

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
    """A weight for each name in `distill.config.loss_registry.TERMS`; a term of weight 0 is not computed."""

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
    `protocol`: `zero_shot` trains on the ID labels. `fine_tune` goes on from a student, with the first `shots` images
    of every OOD label. `retrieval` is zero-shot, and measured beside the teacher's features of those images as well.
    `closed_set` trains a plain classifier of the ID labels, the baseline: its loss `closed_set` is the only one.
    `mse_form` to `unseen_neighbours`: settings of the terms, as `docs/objectives.md` tells them; `queue_size` counts
    teacher features. `context_tokens`: vectors learned in the place of `a photo of` (CoOp; 8 as published, 0 for none).
    `test_crop`: side of the centre crop at evaluation, as a share of the squashed picture's side.
    `schedule`: `step` multiplies the rate by `step_factor` at each of `milestones` (epochs); `one_cycle` moves once an
    epoch, as published, or every step (`one_cycle_per`); `cosine` moves every step, down to 0. `step` and `cosine`
    begin with a straight rise over `warmup` (share of all steps); `one_cycle` has its own.
    `passes_per_epoch`: times the training images are gone through in what the schedule calls an epoch.
    `batch_size`: images of a step, over all processes. `accumulate`: parts that a batch is worked through in, to save
    memory. Terms that are means over images come out as those of the whole batch; a contrastive term has the
    negatives of its part alone, and batch norm the part's statistics.
    `average`: the student is in the end the plain mean of its weights after each step, or their exponential mean with
    `ema_decay`, from `average_from` (share of all steps) on; `off`: its last weights.
    `precision`: of the student's forward pass; float16 scales the loss. `compile`: by torch.compile; `auto` does for
    a run long enough to earn it back. `deterministic`: a resumed run ends with the same bits on a GPU as well,
    at some cost; on a CPU it always does.
    `measured_epochs`: how many of the last epochs are measured as they end, for the mean over them that is published;
    the student that is handed over is the last one, whatever they show.
    `decoded_gb`: decoded pictures that take no more are kept on disk; others are decoded anew in each pass.
    `save_every_s`: the most work, in seconds, that a killed run loses.
    """

    student: str = Field(min_length=1, max_length=200)
    pretrained: bool = False
    image_px: int = Field(default=224, ge=16, le=1024)
    test_crop: float = Field(default=1.0, gt=0.5, le=1.0)

    protocol: Literal["zero_shot", "fine_tune", "retrieval", "closed_set"] = "zero_shot"
    shots: int = Field(default=0, ge=0, le=1000)

    losses: LossWeights = LossWeights()
    mse_form: Literal["normalised", "unnormalised"] = "normalised"
    im_cst_mode: Literal["both", "image_to_teacher"] = "both"
    temperature: float = Field(default=0.07, ge=0.001, le=100, allow_inf_nan=False)
    vlalign_top_k: int = Field(default=256, ge=1)
    vlalign_only_right: bool = False
    cap_temperature: float = Field(default=1.0, ge=0.001, le=100, allow_inf_nan=False)
    queue_size: int = Field(default=4096, ge=2, le=1_000_000)
    unseen_neighbours: int = Field(default=2, ge=1)
    context_tokens: int = Field(default=0, ge=0, le=64)
    augmentation: Augmentation = Augmentation()
    view: Literal["center", "squash", "same", "live"] = "center"
    num_views: int = Field(default=4, ge=1, le=1000)

    epochs: int = Field(default=90, ge=1, le=100_000)
    passes_per_epoch: int = Field(default=1, ge=1, le=1000)
    batch_size: int = Field(default=128, ge=2, le=65_536)
    accumulate: int = Field(default=1, ge=1, le=4096)
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: Positive = 0.05
    momentum: Fraction = 0.9
    weight_decay: Weight = 1e-4
    schedule: Literal["step", "one_cycle", "cosine"] = "step"
    milestones: tuple[int, ...] = (30, 60)
    step_factor: float = Field(default=0.1, gt=0, le=1)
    one_cycle_per: Literal["epoch", "step"] = "epoch"
    warmup: Fraction = 0.0
    average: Literal["off", "mean", "ema"] = "off"
    average_from: Fraction = 0.0
    ema_decay: float = Field(default=0.999, gt=0, lt=1)
    measured_epochs: int = Field(default=5, ge=0, le=100)

    seed: int = Field(default=0, ge=0, lt=2**32)
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    compile: Literal["auto", "on", "off"] = "auto"
    deterministic: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"
    num_workers: int = Field(default=4, ge=1, le=256)
    threads: int | None = Field(default=None, ge=1, le=1024)
    decoded_gb: float = Field(default=100.0, ge=0, allow_inf_nan=False)
    save_every_s: float = Field(default=60.0, gt=0, le=3600)

    @model_validator(mode="after")
    def _milestones_rise(self) -> Self:
        rises = all(a < b for a, b in zip(self.milestones, self.milestones[1:], strict=False))
        if not rises or any(m < 1 for m in self.milestones):
            raise ValueError(f"milestones {list(self.milestones)} must be epochs that rise from 1 on")
        return self

    @model_validator(mode="after")
    def _parts_of_a_batch(self) -> Self:
        if self.batch_size % self.accumulate or self.batch_size // self.accumulate < 2:
            raise ValueError(
                f"batch_size {self.batch_size} does not make {self.accumulate} parts of one size, of two images or more"
            )
        return self

    @model_validator(mode="after")
    def _protocol_has_what_it_needs(self) -> Self:
        wants_shots = self.protocol in ("fine_tune", "retrieval")
        if wants_shots != (self.shots > 0):
            reason = "is for fine_tune and retrieval" if self.shots else "leaves nothing to learn from"
            raise ValueError(f"shots {self.shots} {reason}, and the protocol is {self.protocol}: set one of them")
        names = set(self.losses.above_zero())
        if (self.protocol == "closed_set") != ("closed_set" in names) or len(names) > 1 and "closed_set" in names:
            raise ValueError(
                f"losses {', '.join(sorted(names))} with protocol {self.protocol}: closed_set is the one loss of the "
                "protocol closed_set, and of no other"
            )
        if self.protocol == "closed_set" and self.context_tokens:
            raise ValueError("context_tokens are for texts, and protocol closed_set has none: set it to 0")
        return self

    @model_validator(mode="after")
    def _views_of_an_image(self) -> Self:
        if self.view == "same" and self.augmentation.per == "batch":
            raise ValueError(
                'view "same" keeps views of each image, augmentation per "batch" has none: set one of them'
            )
        return self


class UnknownName(ValueError):
    """A student or teacher that no installed library knows. `near`: names like it, best first."""

    def __init__(self, name: str, kind: Literal["student", "teacher"], near: list[str], why: str = "") -> None:
        self.name, self.kind, self.near = name, kind, near
        hint = f"; near it: {', '.join(near)}" if near else ""
        super().__init__(f'no {kind} is called "{name}"{why}{hint}')


@dataclass(frozen=True)
class TeacherRef:
    """A teacher reference taken apart; `str()` puts it together again. `pretrained` is open_clip's tag."""

    kind: Literal["open_clip", "hf-hub", "local-dir"]
    model: str
    pretrained: str | None = None

    def __str__(self) -> str:
        return f"{self.model}:{self.pretrained}" if self.kind == "open_clip" else f"{self.kind}:{self.model}"


@cache
def _names() -> tuple[frozenset[str], dict[str, list[str]]]:
    written = model_names.written()
    return frozenset(written["timm"]), written["open_clip"]


def check_student(name: str) -> str:
    """`name` where timm knows it. Raises UnknownName."""
    students, _ = _names()
    if name not in students:
        raise UnknownName(name, "student", difflib.get_close_matches(name, sorted(students), n=5, cutoff=0.6))
    return name


def check_teacher(ref: str) -> TeacherRef:
    """The reference taken apart: open_clip must know name and tag, the other kinds need only be well formed.

    Raises UnknownName. Whether a hub or a folder really holds a teacher is seen when it is loaded.
    """
    kind, _, rest = ref.partition(":")
    if kind == "hf-hub":
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", rest) or ".." in rest:
            raise UnknownName(ref, "teacher", [], why=": write hf-hub:organisation/name")
        return TeacherRef("hf-hub", rest)
    if kind == "local-dir":
        if not rest.strip() or any(ord(c) < 32 for c in rest):
            raise UnknownName(ref, "teacher", [], why=": write local-dir:path/to/folder")
        return TeacherRef("local-dir", rest)
    _, teachers = _names()
    if rest in teachers.get(kind, ()):
        return TeacherRef("open_clip", kind, rest)
    if kind in teachers:
        near = difflib.get_close_matches(rest, teachers[kind], n=5, cutoff=0.0)
        raise UnknownName(ref, "teacher", [f"{kind}:{tag}" for tag in near])
    known = [f"{model}:{tag}" for model, tags in teachers.items() for tag in tags]
    raise UnknownName(ref, "teacher", difflib.get_close_matches(ref, known, n=5, cutoff=0.5))
