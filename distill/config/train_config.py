"""The training config: every setting of a run, in sections, validated without torch.

`TrainConfig` is a complete config; recipes are functions that return one (`distill.config.recipes`). `TrainSettings`
has the same sections, but only the fields that are given count; it overrides a recipe. Every field has a short name,
which both classes accept instead of section and field: `epochs` is `schedule.epochs`. The short name is the name of the
field, except for `student`, `optimizer`, `schedule` and `average` (see `_RENAMED`). The sections are in
`distill.config.sections`.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Self

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from distill.config.loss_registry import LOSS_TERMS, compares_images_only, needs_labels
from distill.config.sections.augmentation import Augmentation as Augmentation
from distill.config.sections.base import ConfigSection, error_details, unknown_name
from distill.config.sections.data import DataConfig as DataConfig
from distill.config.sections.data import Sampling as Sampling
from distill.config.sections.losses import LossWeights as LossWeights
from distill.config.sections.objective import ClassWeights as ClassWeights
from distill.config.sections.objective import ObjectiveConfig as ObjectiveConfig
from distill.config.sections.run import FREE_FIELDS as FREE_FIELDS
from distill.config.sections.run import BundleConfig as BundleConfig
from distill.config.sections.run import EvaluationConfig as EvaluationConfig
from distill.config.sections.run import SystemConfig as SystemConfig
from distill.config.sections.schedule import Automatic as Automatic
from distill.config.sections.schedule import OptimizerConfig as OptimizerConfig
from distill.config.sections.schedule import ScheduleConfig as ScheduleConfig
from distill.config.sections.schedule import WeightAverageConfig as WeightAverageConfig
from distill.config.sections.student import StudentConfig as StudentConfig
from distill.json_types import JSONValue

# Short names that are not the name of the field itself.
_RENAMED = {
    "student": ("student", "architecture"),
    "optimizer": ("optimizer", "name"),
    "schedule": ("schedule", "kind"),
    "average": ("weight_average", "kind"),
}


class TrainSettings(ConfigSection):
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
        error = unknown_name("setting_unknown", "setting", name, known)
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
        if "cls_texts" in names and self.objective.context_tokens:
            raise ValueError("loss cls_texts has each text as it is written, and context_tokens learns its beginning")
        if protocol in ("closed_set", "retrieval") and self.objective.tuned_teacher is not None:
            reason = "has none" if protocol == "closed_set" else "compares with its own features"
            raise ValueError(f"tuned_teacher changes the teacher, and protocol {protocol} {reason}: set it to null")
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
    def _label_offset_fits(self) -> Self:
        uses_offset = not {"bce", "asl"}.isdisjoint(self.objective.losses.above_zero())
        if uses_offset and self.objective.label_offset == "teacher" and self.data.view == "live":
            raise ValueError(
                'label_offset "teacher" is measured on features of the teacher before the training, and view "live" '
                "has none: give label_offset a cosine, or choose another view"
            )
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
        if self.data.augmentation.teacher == "all" and self.data.view not in ("same", "live"):
            raise ValueError(
                f'augmentation.teacher "all" is for the views same and live, and the view is {self.data.view}: change '
                "one of them"
            )
        return self

    @model_validator(mode="after")
    def _projector_fits(self) -> Self:
        if self.objective.projector != "none" and not any(
            map(compares_images_only, self.objective.losses.above_zero())
        ):
            usable = ", ".join(filter(compares_images_only, LOSS_TERMS))
            raise ValueError(
                f"projector is for the losses {usable}, and none has a weight: give one a weight, or set it to none"
            )
        return self

    @model_validator(mode="after")
    def _mixtures_fit(self) -> Self:
        if self.data.mix == "none":
            return self
        if self.data.view != "live" or self.data.protocol == "closed_set":
            raise ValueError(f"mix {self.data.mix} needs a teacher that encodes the mixtures: set view to live")
        names = self.objective.losses.above_zero()
        if all(map(needs_labels, names)):
            raise ValueError(
                f"mix {self.data.mix} is for loss terms without labels, and {', '.join(names)} need them: give mse or "
                "im_cst a weight, or set mix to none"
            )
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
