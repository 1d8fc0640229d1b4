"""Settings that follow from the number of images, from the student, and from the device. Pure functions, no torch.

A config names them in `schedule.automatic`: recipes do, and a setting that a person gives is taken out. What follows
from the images is decided when a job is created and stored with it (`fit_to_images`); what follows from the device by
the worker before its first step (`fit_to_device`), which keeps it in the training state. Decision 41 has the reasons
and sources of the constants.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from distill.config.model_names import UnknownName, check_student
from distill.config.train_config import Automatic, StudentConfig, TrainConfig, TrainSettings, merged
from distill.json_types import JSONValue

IMAGES_SEEN, IMAGES_SEEN_PRETRAINED = 2_000_000, 500_000
"""Images that the student sees in a run, from random weights and from published ones."""
MIN_EPOCHS, MAX_EPOCHS = 10, 300
MIN_VIEWS, MAX_VIEWS, PASSES_PER_VIEW = 4, 30, 10
"""Cached teacher views of an image: one for ten passes, within bounds."""
MIN_BATCH, MAX_BATCH, MIN_STEPS_PER_EPOCH = 32, 256, 16
SMALLEST_BATCH = 8
"""Where memory is short, a batch may be smaller than `MIN_BATCH`, and not smaller than this."""
REFERENCE_BATCH = 256
LEARNING_RATES: Mapping[tuple[Literal["convolutional", "transformer"], bool], float] = {
    ("convolutional", False): 1e-3,
    ("convolutional", True): 3e-4,
    ("transformer", False): 5e-4,
    ("transformer", True): 1e-4,
}
"""Peak learning rate of AdamW at `REFERENCE_BATCH`, by the kind of student and whether its start is pretrained."""
SGD_RATE = 0.1
"""Peak learning rate of SGD at `REFERENCE_BATCH`: 0.05 at 128 (arXiv:2307.03135)."""
_TRANSFORMERS = ("vit", "deit", "swin", "beit", "eva", "former", "cait", "xcit", "hiera")
_TRANSFORMER_STARTS = ("aimv2", "coat_", "nest_", "pit_", "pvt", "tnt_", "twins_", "volo_")
_NO_TRANSFORMERS = ("repvit",)  # convolutional students with such a name
_SHORT: Mapping[Automatic, tuple[str, str]] = {
    "epochs": ("schedule", "epochs"),
    "num_views": ("data", "num_views"),
    "batch_size": ("schedule", "batch_size"),
    "lr": ("optimizer", "lr"),
    "precision": ("system", "precision"),
}
CHOSEN = ("epochs", "milestones", "num_views", "batch_size", "lr", "precision")
"""Short names of the settings that a worker may choose; a training state keeps their values."""

USABLE_MEMORY = {"cuda": 0.85, "cpu": 0.5}
"""Share of the free memory that a training may plan with."""
STEP_OVERHEAD = 1.1
"""Memory of a step over that of the outputs of all layers: gradients of activations, workspaces, the images."""


@dataclass(frozen=True, kw_only=True)
class DeviceFacts:
    """What a worker knows of its device. `memory_bytes`: free for this training on one device."""

    kind: Literal["cpu", "cuda"]
    memory_bytes: int
    has_bfloat16: bool = False


@dataclass(frozen=True, kw_only=True)
class StudentFacts:
    """What a step of a student needs memory for. `num_activations`: numbers in the outputs of its layers, an image."""

    num_parameters: int
    num_activations: int


def automatic_settings(of_recipe: Iterable[Automatic], given: TrainSettings) -> tuple[Automatic, ...]:
    """The automatic settings of a recipe without those that are `given`; with the epochs if a budget sets them."""
    names = dict.fromkeys(of_recipe)
    if given.schedule.images_seen is not None or given.schedule.time_budget_s is not None:
        names["epochs"] = None
    return tuple(name for name in names if not _is_given(given, name))


def _is_given(given: TrainSettings, name: Automatic) -> bool:
    section, field = _SHORT[name]
    return field in getattr(given, section).model_fields_set


def fit_to_images(config: TrainConfig, num_images: int, num_ranks: int = 1) -> TrainConfig:
    """The config for a training on `num_images`. A time budget leaves the epochs, which then follow from the time."""
    names, schedule, num_images = config.schedule.automatic, config.schedule, max(num_images, 1)
    if "epochs" in names and schedule.time_budget_s is None:
        config = with_epochs(config, _epochs(config, num_images))
    changes: dict[str, dict[str, object]] = {}
    if "num_views" in names:
        passes = config.schedule.epochs * config.schedule.passes_per_epoch
        changes["data"] = {"num_views": views_of_passes(passes)}
    batch_size = schedule.batch_size
    if "batch_size" in names:
        wanted = num_images * schedule.passes_per_epoch / MIN_STEPS_PER_EPOCH
        batch_size = min(max(2 ** int(math.log2(max(wanted, 1))), MIN_BATCH), MAX_BATCH)
        batch_size = _multiple(batch_size, num_ranks * schedule.accumulate)
        changes["schedule"] = {"batch_size": batch_size}
    if "lr" in names:
        changes["optimizer"] = {"lr": learning_rate(config, min(batch_size, num_images))}  # a step has no more
    return _changed(config, changes)


def fit_to_device(config: TrainConfig, device: DeviceFacts, student: StudentFacts, num_ranks: int = 1) -> TrainConfig:
    """The config for a training on this device: bfloat16 on a GPU that has it, and a batch that its memory holds."""
    names, changes = config.schedule.automatic, dict[str, dict[str, object]]()
    if "precision" in names:
        is_half = device.kind == "cuda" and device.has_bfloat16
        changes["system"] = {"precision": "bfloat16" if is_half else "float32"}
        config = _changed(config, changes)
    if "batch_size" not in names:
        return config
    parts = num_ranks * config.schedule.accumulate
    batch_size = config.schedule.batch_size
    usable = device.memory_bytes * USABLE_MEMORY[device.kind]
    while batch_size > max(SMALLEST_BATCH, 2 * parts) and _step_bytes(config, student, batch_size, parts) > usable:
        batch_size = _multiple(batch_size // 2, parts)
    if batch_size == config.schedule.batch_size:
        return config
    changes["schedule"] = {"batch_size": batch_size}
    if "lr" in names:
        # With fewer images than the batch before, the rate is that of the images already.
        changes["optimizer"] = {"lr": min(config.optimizer.lr, learning_rate(config, batch_size))}
    return _changed(config, changes)


def needs_device(config: TrainConfig) -> bool:
    """Whether settings of the config are chosen by the worker."""
    return config.schedule.time_budget_s is not None or bool({"batch_size", "precision"} & {*config.schedule.automatic})


def chosen_settings(config: TrainConfig) -> dict[str, JSONValue]:
    """The values of the settings that a worker may have chosen, by short name: for results and training states."""
    flat = config.flat()
    return {name: flat[name] for name in CHOSEN} if needs_device(config) else {}


def with_chosen(config: TrainConfig, chosen: Mapping[str, JSONValue]) -> TrainConfig:
    """The config with the settings that a worker chose (`chosen_settings`); other names are ignored."""
    changes = {name: value for name, value in chosen.items() if name in CHOSEN}
    if not changes or not needs_device(config):
        return config
    nested = TrainSettings.model_validate(changes).model_dump(exclude_unset=True)
    return TrainConfig.model_validate(merged(config.model_dump(), nested))


def with_epochs(config: TrainConfig, epochs: int) -> TrainConfig:
    """The config with this number of epochs; the milestones of a step schedule stay at their share of the epochs."""
    before, milestones = config.schedule.epochs, list[int]()
    if epochs == before:
        return config
    for milestone in config.schedule.milestones if config.schedule.kind == "step" else ():
        milestones.append(max(round(milestone * epochs / before), milestones[-1] + 1 if milestones else 1))
    moved = {"milestones": tuple(milestones)} if milestones else {}
    return _changed(config, {"schedule": {"epochs": epochs, **moved}})


def views_of_passes(passes: int) -> int:
    """Cached teacher views of an image that is seen `passes` times."""
    return min(max(math.ceil(passes / PASSES_PER_VIEW), MIN_VIEWS), MAX_VIEWS, passes)


def learning_rate(config: TrainConfig, batch_size: int) -> float:
    """The peak learning rate: with AdamW, that of the kind of student, times the square root of the batch's ratio; with
    SGD, the published one, times the batch's ratio."""
    if config.optimizer.name == "sgd":
        return float(f"{SGD_RATE * batch_size / REFERENCE_BATCH:.3g}")
    is_transformer = _is_transformer(config.student)
    kind: Literal["convolutional", "transformer"] = "transformer" if is_transformer else "convolutional"
    rate = LEARNING_RATES[kind, starts_pretrained(config)] * math.sqrt(batch_size / REFERENCE_BATCH)
    return float(f"{rate:.3g}")


def starts_pretrained(config: TrainConfig) -> bool:
    """Whether the student does not start from random weights."""
    return config.student.pretrained or config.student.weights is not None or config.data.protocol == "fine_tune"


def images_seen(config: TrainConfig) -> int:
    """The budget of images that sets the epochs of the config."""
    if config.schedule.images_seen is not None:
        return config.schedule.images_seen
    return IMAGES_SEEN_PRETRAINED if starts_pretrained(config) else IMAGES_SEEN


def _epochs(config: TrainConfig, num_images: int) -> int:
    epochs = round(images_seen(config) / (num_images * config.schedule.passes_per_epoch))
    if config.schedule.images_seen is not None:  # of a person, who may want fewer or more
        return min(max(epochs, 1), 100_000)
    return min(max(epochs, MIN_EPOCHS), MAX_EPOCHS)


def _is_transformer(student: StudentConfig) -> bool:
    try:
        name = check_student(student.architecture).model
    except UnknownName:  # refused where the student is checked
        name = student.architecture
    name = name.lower()
    if name.startswith(_NO_TRANSFORMERS):
        return False
    return name.startswith(_TRANSFORMER_STARTS) or any(part in name for part in _TRANSFORMERS)


def _multiple(number: int, of: int) -> int:
    """`number` rounded down to a multiple of `of`, and at least two of it."""
    return max(number // of, 2) * of


def _step_bytes(config: TrainConfig, student: StudentFacts, batch_size: int, parts: int) -> float:
    """Memory of one rank: weights, gradients, moments and average in float32, and the outputs of all layers."""
    copies = 2 + (2 if config.optimizer.name == "adamw" else 1) + (config.weight_average.kind != "off")
    bytes_each = 4 if config.system.precision == "float32" else 2
    images = math.ceil(batch_size / parts)
    return 4 * copies * student.num_parameters + STEP_OVERHEAD * bytes_each * images * student.num_activations


def _changed(config: TrainConfig, changes: Mapping[str, object]) -> TrainConfig:
    return TrainConfig.model_validate(merged(config.model_dump(), changes)) if changes else config
