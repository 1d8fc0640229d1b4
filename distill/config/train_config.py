"""The training config: every setting of a run, in sections, validated without torch.

`TrainConfig` is a complete config; recipes are functions that return one (`distill.config.recipes`). `TrainSettings`
has the same sections, but only the fields that are given count; it overrides a recipe. Every field has a short name,
which both classes accept instead of section and field: `epochs` is `schedule.epochs`. The short name is the name of the
field, except for `student`, `optimizer`, `schedule` and `average` (see `_RENAMED`).
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from distill.config.closest_names import closest_names
from distill.config.image_size import ImageSize
from distill.config.loss_registry import LOSS_TERMS
from distill.json_types import JSONValue
from limbeck.shared.images.background import WHITE, hex_colour

Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
HubName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$", max_length=96)]
Protocol = Literal["zero_shot", "fine_tune", "retrieval", "closed_set"]
Sampling = Literal["uniform", "square_root", "balanced"]
ClassWeights = Literal["none", "inverse", "inverse_sqrt", "effective"]
TeacherView = Literal["center", "squash", "squash_256", "same", "live"]
Automatic = Literal["epochs", "num_views", "batch_size", "lr", "precision"]

# Short names that are not the name of the field itself.
_RENAMED = {
    "student": ("student", "architecture"),
    "optimizer": ("optimizer", "name"),
    "schedule": ("schedule", "kind"),
    "average": ("weight_average", "kind"),
}


OWN_CODES = ("setting_unknown", "setting_given_twice", "loss_unknown", "no_loss", "two_lengths")
"""Error codes that pydantic does not know."""


MAX_UNKNOWN = 20
"""Unknown names of one section that are reported: each is compared with all known names."""


class _Frozen(BaseModel):
    """Immutable; an unknown field is an error that names the closest ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="wrap")
    @classmethod
    def _known_fields(cls, given: object, validate: Callable[[object], Self]) -> Self:
        unknown = [name for name in given if name not in cls.model_fields] if isinstance(given, Mapping) else []
        if not unknown:
            return validate(given)
        assert isinstance(given, Mapping)
        # Each error is located at the unknown name itself, so that a JSON pointer leads there.
        details = [cls._unknown(str(name), given[name]) for name in unknown[:MAX_UNKNOWN]]
        try:
            validate({name: value for name, value in given.items() if name in cls.model_fields})
        except ValidationError as error:
            details += error_details(error)
        raise ValidationError.from_exception_data(cls.__name__, details)

    @classmethod
    def _unknown(cls, name: str, value: object) -> InitErrorDetails:
        error = _unknown_name("setting_unknown", "setting", name, list(cls.model_fields))
        return InitErrorDetails(type=error, loc=(name,), input=value)


def _unknown_name(
    code: Literal["setting_unknown", "loss_unknown"], kind: str, name: str, known: list[str]
) -> PydanticCustomError:
    near = closest_names(name, known)
    hint = f"closest: {', '.join(near)}" if near else f"there are {', '.join(known)}"
    message = 'no {kind} is called "{name}"; {hint}'
    return PydanticCustomError(code, message, {"kind": kind, "name": name, "hint": hint})


class _Weights(_Frozen):
    """A weight for each name in `distill.config.loss_registry.LOSS_TERMS`; a term of weight 0 is not computed."""

    @classmethod
    def _unknown(cls, name: str, value: object) -> InitErrorDetails:
        error = _unknown_name("loss_unknown", "loss", name, list(LOSS_TERMS))
        return InitErrorDetails(type=error, loc=(name,), input=value)

    def above_zero(self) -> dict[str, float]:
        """The weights above 0 by name, in the order of the registry."""
        return {name: weight for name in LOSS_TERMS if (weight := getattr(self, name)) > 0}


# Built from the registry, so that a term is defined once.
_FIELDS: dict[str, Any] = {
    name: (Annotated[Weight, Field(description=f"Weight of {term.title}.")], term.weight)
    for name, term in LOSS_TERMS.items()
}
LossWeights = create_model("LossWeights", __base__=_Weights, __module__=__name__, __doc__=_Weights.__doc__, **_FIELDS)


class Augmentation(_Frozen):
    """RandAugment, random resized crop and horizontal flip, in this order."""

    crop_scale: tuple[float, float] = Field((0.35, 1.0), description="Range of the crop's share of the image area.")
    crop_ratio: tuple[float, float] = Field(
        (3 / 4, 4 / 3), description="Range of the crop's width over height; sampled uniformly in the logarithm."
    )
    flip: bool = Field(True, description="Flip half of the images horizontally.")
    rand_ops: int = Field(0, ge=0, le=8, description="Number of RandAugment operations per image; 0 for none.")
    rand_magnitude: int = Field(9, ge=0, le=30, description="Magnitude of each RandAugment operation, of 30.")
    per: Literal["image", "batch"] = Field(
        "image", description="Sample augmentations per image, or once per batch as the published code does."
    )

    @field_validator("crop_scale")
    @classmethod
    def _scale_range(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError(f"crop_scale {scale} must rise within (0, 1]")
        return scale

    @field_validator("crop_ratio")
    @classmethod
    def _ratio_range(cls, ratio: tuple[float, float]) -> tuple[float, float]:
        if not 0.1 <= ratio[0] <= ratio[1] <= 10:
            raise ValueError(f"crop_ratio {ratio} must rise within [0.1, 10]")
        return ratio


# Arguments of `timm.create_model` that Limbeck sets, or that give no classifier.
_RESERVED_ARGS = {
    "num_classes": "the width of the teacher sets it",
    "in_chans": "set student.in_chans",
    "img_size": "set student.image_px",
    "pretrained": "set student.pretrained",
    "checkpoint_path": "set student.weights",
    "pretrained_cfg": "give the tag in the name of the student",
    "pretrained_cfg_overlay": "give the tag in the name of the student",
    "pretrained_model_args": "give the tag in the name of the student",
    "cache_dir": "set HF_HOME",
    "features_only": "a student is a classifier",
    "device": "set system.device",
    "dtype": "set system.precision",
}


def _one_error(message: str) -> WrapValidator:
    """A validator that reports `message` instead of one error for each member of a union."""

    def validate(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise ValueError(message) from None

    return WrapValidator(validate)


_Pixels = Annotated[int, Field(ge=16, le=1024)]
Side = Annotated[
    _Pixels | tuple[_Pixels, _Pixels],
    _one_error("give a whole number of pixels from 16 to 1024, or two of them: [height, width]"),
]
ModelArg = Annotated[
    bool | int | float | Annotated[str, Field(max_length=200)] | None,
    _one_error("give a number, a text of at most 200 characters, true, false or null"),
]


class StudentConfig(_Frozen):
    """The student model."""

    architecture: str = Field(
        "resnet18",
        min_length=1,
        max_length=200,
        description="A timm model, with or without the tag of its weights (`resnet18`, `resnet18.a1_in1k`), or "
        "`hf-hub:org/name`. The tag sets mean and standard deviation of the input, and the weights of a pretrained "
        "start.",
    )
    pretrained: bool = Field(
        False,
        description="Start from the published weights: those of the tag, or timm's default. Without it, and without "
        "`weights`, the start is random.",
    )
    weights: str | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="Start from your own timm weights: a safetensors or .pth file, or a folder with `config.json` and "
        "weights, such as `image` of a bundle. In the service, a path below the data root.",
    )
    model_args: dict[str, ModelArg] = Field(
        {},
        max_length=50,
        description='Arguments of `timm.create_model`, such as `{"drop_path_rate": 0.1}`; recorded in the bundle.',
    )
    image_px: Side = Field(
        224, description="Side of the student's input in pixels, or its height and width. Images are squashed to it."
    )
    in_chans: Literal[1, 3] = Field(3, description="Channels of the student's input: 3 for RGB, 1 for grey.")
    init: Literal["timm", "torchvision"] = Field(
        "timm",
        description="Random start: timm's own, or torchvision's, as published. torchvision's differs for ResNets (each "
        "batch norm starts at 1) and ViTs (a head of zeros), and has ImageNet's mean and standard deviation; other "
        "models have timm's.",
    )
    resize: Literal["bicubic", "bilinear"] = Field(
        "bicubic", description="Interpolation by which images are resized for the student; bilinear as published."
    )
    test_crop: float = Field(
        1.0,
        gt=0.5,
        le=1.0,
        description="Side of the centre crop at evaluation, as a share of the resized image's side.",
    )

    @property
    def size(self) -> ImageSize:
        """The size of the student's input."""
        return ImageSize.of(self.image_px)

    @field_validator("image_px")
    @classmethod
    def _one_form_of_a_square(cls, image_px: int | tuple[int, int]) -> int | tuple[int, int]:
        size = ImageSize.of(image_px)
        return size.height if size.is_square else image_px

    @field_validator("model_args")
    @classmethod
    def _args_are_free(cls, args: dict[str, ModelArg]) -> dict[str, ModelArg]:
        for name, value in args.items():
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", name):
                raise ValueError(f'model_args cannot have "{name}": it is not a name of an argument')
            if reason := _RESERVED_ARGS.get(name):
                raise ValueError(f"model_args cannot have {name}: {reason}")
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"model_args.{name} is {value}: give a finite number")
        return args

    @model_validator(mode="after")
    def _one_start(self) -> Self:
        if self.pretrained and self.weights is not None:
            raise ValueError("pretrained and weights are two starts: leave one of them out")
        return self


class DataConfig(_Frozen):
    """Training images, their augmentation and the teacher's view of them."""

    protocol: Protocol = Field(
        "zero_shot",
        description="`zero_shot` trains on the ID labels. `fine_tune` continues from a student, with the first `shots` "
        "images of every OOD label. `retrieval` is zero_shot, also evaluated with Tip-Adapter on these images. "
        "`closed_set` trains a plain classifier of the ID labels, the baseline, and with `shots` of ID and OOD labels; "
        "its loss `closed_set` is the only one.",
    )
    shots: int = Field(
        0, ge=0, le=1000, description="Images per OOD label for `fine_tune`, `retrieval` and a `closed_set` baseline."
    )
    augmentation: Augmentation = Field(Augmentation(), description="Augmentation of the training images.")
    view: TeacherView = Field(
        "center",
        description="The teacher's view of an image. `center`: the teacher's own preprocessing, cached. `squash`: the "
        "whole image resized to the teacher's input, cached. `squash_256`: the same by way of 256 x 256 pixels, as "
        "published. `same`: the student's crop and flip, "
        "`num_views` of them per image, cached. `live`: every view of the student, encoded during training.",
    )
    num_views: int = Field(4, ge=1, le=1000, description="Cached views per image for view `same`.")
    unlabelled_share: Fraction = Field(
        0.5, description="Share of each batch that is unlabelled images, if the dataset has some."
    )
    sampling: Sampling = Field(
        "uniform",
        description="How often the images of a label are used (arXiv:1910.09217). `uniform`: each image once per pass. "
        "`balanced`: each label equally often. `square_root`: in proportion to the root of its number of images. A "
        "pass has the same number of steps in each.",
    )
    background: str = Field(
        WHITE,
        max_length=40,
        description="Colour behind transparent parts of images, in training and wherever the student is used: a name "
        "such as `black`, or `#rrggbb`.",
    )

    @field_validator("background")
    @classmethod
    def _background_is_a_colour(cls, background: str) -> str:
        return hex_colour(background)

    @property
    def trains_on_shots(self) -> bool:
        """Whether the few-shot images are trained on, and their labels are trained labels."""
        return self.shots > 0 and self.protocol in ("fine_tune", "closed_set")

    @property
    def encodes_training_images(self) -> bool:
        """Whether the teacher's features of the training images are encoded once, before the training."""
        return self.protocol != "closed_set" and self.view != "live"


class ObjectiveConfig(_Frozen):
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


class OptimizerConfig(_Frozen):
    """The optimizer."""

    name: Literal["sgd", "adamw"] = Field("sgd", description="SGD with momentum, or AdamW.")
    lr: Positive = Field(0.05, description="Peak learning rate.")
    momentum: Fraction = Field(0.9, description="Momentum of SGD, first beta of AdamW.")
    weight_decay: Weight = Field(1e-4, description="Weight decay, applied to every parameter.")


class ScheduleConfig(_Frozen):
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


class WeightAverageConfig(_Frozen):
    """Average of the student's weights over steps."""

    kind: Literal["off", "mean", "ema"] = Field(
        "off", description="Deliver the last weights, their mean over steps, or their exponential moving average."
    )
    average_from: Fraction = Field(0.0, description="Share of all steps after which averaging starts.")
    ema_decay: float = Field(0.999, gt=0, lt=1, description="Decay of the exponential moving average.")


class EvaluationConfig(_Frozen):
    """Evaluation during training. It never selects weights: the delivered student is the last one."""

    measured_epochs: int = Field(
        5,
        ge=0,
        le=100_000,
        description="Last epochs to evaluate as they end, for the published mean over epochs; the number of `epochs`, "
        "or more, for all.",
    )


class SystemConfig(_Frozen):
    """Seed, precision, device, processes and saving."""

    seed: int = Field(0, ge=0, lt=2**32, description="Seed of every random choice.")
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Precision of the student's forward pass; float16 scales the loss."
    )
    compile: Literal["auto", "on", "off"] = Field(
        "auto", description="torch.compile; `auto` compiles runs that are long enough to gain from it."
    )
    deterministic: bool = Field(
        False, description="Bit-identical resume on a GPU, at some cost; on a CPU it always holds."
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Device; `auto` uses a GPU if there is one.")
    num_workers: int = Field(4, ge=1, le=256, description="Threads that decode images.")
    threads: int | None = Field(None, ge=1, le=1024, description="torch's CPU threads; torch's default if null.")
    decoded_gb: float = Field(
        100.0, ge=0, allow_inf_nan=False, description="Decoded images are cached on disk up to this size, in GB."
    )
    save_every_s: float = Field(
        60.0, gt=0, le=3600, description="Seconds between saved training states: the most a killed run loses."
    )


class BundleConfig(_Frozen):
    """Optional files of the bundle, and what its model card states besides the facts of the run."""

    onnx: bool = Field(True, description="Write the student for ONNX Runtime, in float32 and with 8-bit weights.")
    text_onnx: bool = Field(
        False, description="Write the teacher's text encoder for ONNX Runtime too, to classify among new labels."
    )
    license: str | None = Field(
        None,
        pattern=r"^[a-z0-9][a-z0-9.+-]{0,59}$",
        description="Licence of the weights, as the Hub writes it (`apache-2.0`); if null, the card proposes one.",
    )
    datasets: tuple[HubName, ...] = Field(
        (), max_length=20, description="Names on the Hub (`owner/name`) of the data set of the images."
    )


# Settings that may change between two parts of one run, because they do not change its result.
# The path of `weights` is free because their digest identifies them (`distill.training.setup`), and `automatic` because
# the settings that it names have values.
FREE_FIELDS = frozenset(
    {
        "device",
        "num_workers",
        "threads",
        "save_every_s",
        "decoded_gb",
        "weights",
        "onnx",
        "text_onnx",
        "license",
        "datasets",
        "automatic",
    }
)


class TrainSettings(_Frozen):
    """Settings of a run in sections; only those that are given count, and they override the recipe's.

    A field's short name is accepted in the place of its section: `{"epochs": 10}` is `{"schedule": {"epochs": 10}}`.
    """

    student: StudentConfig = Field(StudentConfig(), description="The student model.")
    data: DataConfig = Field(DataConfig(), description="Images, augmentation and the teacher's view.")
    objective: ObjectiveConfig = Field(ObjectiveConfig(), description="Loss terms.")
    optimizer: OptimizerConfig = Field(OptimizerConfig(), description="Optimizer.")
    schedule: ScheduleConfig = Field(ScheduleConfig(), description="Length, batches and learning-rate schedule.")
    weight_average: WeightAverageConfig = Field(WeightAverageConfig(), description="Average of the weights.")
    evaluation: EvaluationConfig = Field(EvaluationConfig(), description="Evaluation during training.")
    system: SystemConfig = Field(SystemConfig(), description="Seed, precision, device and processes.")
    bundle: BundleConfig = Field(BundleConfig(), description="Optional files of the bundle, and the card.")

    @model_validator(mode="wrap")
    @classmethod
    def _accept_short_names(cls, given: object, validate: Callable[[object], Self]) -> Self:
        if not isinstance(given, Mapping):
            return validate(given)
        nested, short = expand_short_names(given)
        try:
            return validate(nested)
        except ValidationError as error:
            raise located(error, short) from None

    @classmethod
    def _unknown(cls, name: str, value: object) -> InitErrorDetails:
        known = list(dict.fromkeys([*cls.model_fields, *short_names()]))
        error = _unknown_name("setting_unknown", "setting", name, known)
        return InitErrorDetails(type=error, loc=(name,), input=value)

    def flat(self) -> dict[str, JSONValue]:
        """Short name -> value, as JSON. The identity of a training state has these names, not the sections."""
        nested = self.model_dump(mode="json")
        return {name: nested[section][field] for name, (section, field) in short_names().items()}


class TrainConfig(TrainSettings):
    """The complete, consistent config of one training run."""

    @model_validator(mode="after")
    def _some_loss_has_a_weight(self) -> Self:
        if not self.objective.losses.above_zero():
            error = PydanticCustomError("no_loss", f"at least one of {', '.join(LOSS_TERMS)} must be above 0")
            place = InitErrorDetails(type=error, loc=("objective", "losses"), input=self.objective.losses)
            raise ValidationError.from_exception_data("losses", [place])
        return self

    @model_validator(mode="after")
    def _milestones_rise(self) -> Self:
        milestones = self.schedule.milestones
        rises = all(a < b for a, b in zip(milestones, milestones[1:], strict=False))
        if not rises or any(m < 1 for m in milestones):
            raise ValueError(f"milestones {list(milestones)} must be epochs that rise, from 1")
        return self

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        schedule = self.schedule
        given = [name for name in ("images_seen", "time_budget_s") if getattr(schedule, name) is not None]
        if given and "epochs" not in schedule.automatic:
            given.insert(0, "epochs")
        if len(given) > 1:
            message = f"{' and '.join(given)} both set the length of the training: leave one of them out"
            error = PydanticCustomError("two_lengths", "{message}", {"message": message})
            place = InitErrorDetails(type=error, loc=("schedule", given[-1]), input=getattr(schedule, given[-1]))
            raise ValidationError.from_exception_data("schedule", [place])
        return self

    @model_validator(mode="after")
    def _batch_divides(self) -> Self:
        batch_size, accumulate = self.schedule.batch_size, self.schedule.accumulate
        if batch_size % accumulate or batch_size // accumulate < 2:
            raise ValueError(
                f"batch_size {batch_size} does not divide into {accumulate} equal micro-batches of at least two images"
            )
        return self

    @model_validator(mode="after")
    def _protocol_fits(self) -> Self:
        protocol, shots = self.data.protocol, self.data.shots
        needs_shots = protocol in ("fine_tune", "retrieval")
        if needs_shots and not shots or shots and protocol == "zero_shot":
            reason = "are for fine_tune, retrieval and closed_set" if shots else "leaves no images to learn from"
            raise ValueError(f"shots {shots} {reason}, and the protocol is {protocol}: change one of them")
        names = set(self.objective.losses.above_zero())
        if (protocol == "closed_set") != ("closed_set" in names) or len(names) > 1 and "closed_set" in names:
            raise ValueError(
                f"losses {', '.join(sorted(names))} do not fit protocol {protocol}: closed_set is the only loss of "
                "protocol closed_set, and no other protocol has it"
            )
        if protocol == "closed_set" and self.objective.context_tokens:
            raise ValueError("context_tokens are for texts, and protocol closed_set has none: set context_tokens to 0")
        return self

    @model_validator(mode="after")
    def _start_fits(self) -> Self:
        if self.data.protocol == "fine_tune" and self.student.weights is not None:
            raise ValueError("protocol fine_tune starts from a student: leave student.weights out")
        return self

    @model_validator(mode="after")
    def _class_weights_fit(self) -> Self:
        weighted = {"cls", "closed_set"} & set(self.objective.losses.above_zero())
        if self.objective.class_weights != "none" and not weighted:
            raise ValueError("class_weights are for the losses cls and closed_set, which have no weight: set cls to 1")
        return self

    @model_validator(mode="after")
    def _bundle_fits(self) -> Self:
        if self.bundle.text_onnx and not self.bundle.onnx:
            raise ValueError("text_onnx needs the ONNX files of the student: leave onnx at true")
        return self

    @model_validator(mode="after")
    def _views_fit(self) -> Self:
        if self.data.view == "same" and self.data.augmentation.per == "batch":
            raise ValueError('view "same" caches views per image, and augmentation is per "batch": change one of them')
        return self

    @property
    def encodes_ahead(self) -> bool:
        """Whether the views of the training images are known when the job is created, so that any worker can encode
        them: with a time budget, the training chooses their number."""
        return self.data.encodes_training_images and self.schedule.time_budget_s is None

    def identity(self) -> dict[str, JSONValue]:
        """`flat()` without the settings that do not change the result."""
        return {name: value for name, value in self.flat().items() if name not in FREE_FIELDS}


@cache
def short_names() -> Mapping[str, tuple[str, str]]:
    """Short name -> (section, field), for every setting."""
    long = {path: name for name, path in _RENAMED.items()}
    return {long.get((section, field), field): (section, field) for section, field in _paths()}


def _paths() -> Iterator[tuple[str, str]]:
    for section, info in TrainSettings.model_fields.items():
        model = info.annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        for field in model.model_fields:
            yield section, field


ShortNames = Mapping[tuple[str, str], str]
"""(section, field) -> the short name by which the field was given."""


def expand_short_names(given: Mapping[str, object]) -> tuple[dict[str, object], dict[tuple[str, str], str]]:
    """`given` with short names moved into their sections, and the short name that each moved field had.

    Raises pydantic's ValidationError, code setting_given_twice, for a setting with two different values: one under its
    short name and one in its section.
    """
    sections: dict[str, object] = {}
    short: dict[tuple[str, str], str] = {}
    for name, value in given.items():
        is_model = name in TrainSettings.model_fields and isinstance(value, BaseModel | Mapping)
        if not is_model and name in short_names():
            short[short_names()[name]] = name
        else:
            sections[name] = value
    for (section, field), name in list(short.items()):
        below = _as_mapping(sections.get(section, {}))
        if not isinstance(below, Mapping):
            del short[section, field]  # the section itself is reported as an error
            continue
        if field in below and _differ(below[field], given[name]):
            message = f"{name} and {section}.{field} are the same setting and have different values: give one of them"
            error = PydanticCustomError("setting_given_twice", "{message}", {"message": message})
            place = InitErrorDetails(type=error, loc=(name,), input=given[name])
            raise ValidationError.from_exception_data("TrainSettings", [place])
        sections[section] = merged(below, {field: given[name]})
    return sections, short


def _differ(one: object, other: object) -> bool:
    one, other = _as_mapping(one), _as_mapping(other)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return any(_differ(one[key], other[key]) for key in one.keys() & other.keys())
    return one != other


def merged(base: Mapping[str, object], over: Mapping[str, object]) -> dict[str, object]:
    """`base` with the values of `over`; nested mappings are merged too."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result


def _as_mapping(value: object) -> object:
    """A model as a dictionary of the fields that were set; any other value unchanged."""
    return value.model_dump(exclude_unset=True) if isinstance(value, BaseModel) else value


def located(error: ValidationError, short: ShortNames) -> ValidationError:
    """The same errors, each at the short name by which its setting was given, if there is one."""
    details = error_details(error)
    for detail in details:
        loc = detail["loc"]
        if len(loc) >= 2 and (name := short.get((str(loc[0]), str(loc[1])))):
            detail["loc"] = (name, *loc[2:])
    return ValidationError.from_exception_data(error.title, details)


def error_details(error: ValidationError) -> list[InitErrorDetails]:
    """The errors, to raise them again."""
    details = []
    for one in error.errors():
        own = PydanticCustomError(one["type"], "{message}", {"message": one["msg"]})
        kind = own if one["type"] in OWN_CODES else one["type"]
        details.append(InitErrorDetails(type=kind, loc=one["loc"], input=one["input"], ctx=one.get("ctx", {})))
    return details
