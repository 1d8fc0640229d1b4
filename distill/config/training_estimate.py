"""What a training will do, from its config and the number of its images: for `limbeck distill --dry-run`. No torch.

N images to train on, V teacher views of each.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from distill.config.automatic import (
    MAX_BATCH,
    MAX_EPOCHS,
    MAX_VIEWS,
    MIN_BATCH,
    MIN_EPOCHS,
    MIN_VIEWS,
    PASSES_PER_VIEW,
    images_seen,
)
from distill.config.batch_plan import plan_batches
from distill.config.image_size import ImageSize, train_size
from distill.config.recipes import RECIPES
from distill.config.time_budget import Rates, duration, fit_to_time
from distill.config.train_config import Automatic, TrainConfig, short_names
from distill.json_types import JSONValue
from limbeck.shared.text import time_text

TEACHER_PX = 224
FEATURE_BYTES = 2
"""Of a number of a cached feature, which is a float16."""


@dataclass(frozen=True, kw_only=True)
class TrainingEstimate:
    """`images_seen`: by the student, over all steps. `teacher_cached`: forward passes of the teacher for features that
    are cached, made once; `teacher_live`: those of a teacher that sees every view. `measured`: images of the
    evaluation, which a teacher encodes once too. `decoded_bytes`: of the images that are decoded and kept for the
    training; `feature_bytes`: of the teacher's cached features, None if their width is not known. `views_s`, `steps_s`:
    measured, None if they were not. `origins`: why a setting has its value, and `settings`: these values.
    """

    batch_size: int
    steps_per_epoch: int
    total_steps: int
    images_seen: int
    teacher_cached: int
    teacher_live: int
    measured: int
    decoded_bytes: int
    feature_bytes: int | None
    views_s: float | None
    steps_s: float | None
    origins: Mapping[str, str]
    settings: Mapping[str, JSONValue]


def estimate_training(
    config: TrainConfig,
    recipe: str,
    counts: Mapping[str, int],
    num_ranks: int = 1,
    *,
    rates: Rates | None = None,
    width: int | None = None,
) -> TrainingEstimate:
    """What a training of `config` on images of these `counts` will do.

    `rates`: measured on the machine of the training, by which a time budget is fitted. `width`: of the teacher's
    features. Raises ValueError as `plan_batches`, and TimeBudgetTooShort.
    """
    data, schedule = config.data, config.schedule
    few = _num_few(config, counts)
    unlabelled = num_pool_images(config, counts.get("unlabelled", 0))
    labelled = counts["train"] + few
    plan = plan_batches(config, labelled, num_ranks, num_few=few, has_unlabelled=unlabelled > 0)
    if rates is not None and schedule.time_budget_s is not None:
        config = fit_to_time(config, plan, labelled + unlabelled, rates, schedule.time_budget_s)
        data, schedule = config.data, config.schedule
        plan = plan_batches(config, labelled, num_ranks, num_few=few, has_unlabelled=unlabelled > 0)
    passes = schedule.epochs * schedule.passes_per_epoch
    per_pass = plan.images_per_pass + plan.steps_per_pass * (plan.split.few + plan.num_unlabelled)
    images = labelled + unlabelled
    # An image can be used more than once in a pass if labels are balanced, or beside unlabelled images.
    shared = data.num_views if data.sampling != "uniform" or unlabelled else min(data.num_views, passes)
    num_views = {"same": shared, "live": 0}.get(data.view, 1)
    has_teacher = data.protocol != "closed_set"
    teacher_cached = images * num_views + _num_compared(config, counts) if has_teacher else 0
    # Views are cut from images of the teacher's size, which most often is 224 px.
    sizes = [config.student.size] + (
        [ImageSize.of(TEACHER_PX)] if has_teacher and data.view in ("same", "live") else []
    )
    pixels = sum(size.num_pixels for size in {train_size(size) for size in sizes})
    seconds = None if rates is None else duration(config, plan, images, rates)
    measured = counts["held_out"] + counts["ood"] - data.shots * counts["ood_labels"]
    num_features = teacher_cached + (measured if has_teacher else 0)  # the evaluation compares with the teacher
    why = origins(config, recipe, counts)
    values = config.flat()
    return TrainingEstimate(
        batch_size=plan.batch_size,
        steps_per_epoch=plan.steps_per_epoch,
        total_steps=plan.total_steps,
        images_seen=per_pass * passes,
        teacher_cached=teacher_cached,
        teacher_live=per_pass * passes if has_teacher and data.view == "live" else 0,
        measured=measured,
        decoded_bytes=images * pixels * 3,
        feature_bytes=None if width is None else num_features * width * FEATURE_BYTES,
        views_s=None if seconds is None else round(seconds.views, 1),
        steps_s=None if seconds is None else round(seconds.steps, 1),
        origins=why,
        settings={name: values[name] for name in why},
    )


def num_trained(config: TrainConfig, counts: Mapping[str, int]) -> int:
    """The images that a training of `config` uses, with few-shot and unlabelled ones."""
    return counts["train"] + _num_few(config, counts) + num_pool_images(config, counts.get("unlabelled", 0))


def num_pool_images(config: TrainConfig, found: int) -> int:
    """The images that are trained on, of `found` unlabelled ones."""
    wanted = config.data.unlabelled_nearest
    return found if wanted is None else min(found, wanted)


def _num_compared(config: TrainConfig, counts: Mapping[str, int]) -> int:
    """The whole images that the teacher encodes only to choose unlabelled images or to be tuned."""
    left_out = counts.get("unlabelled", 0) - num_pool_images(config, counts.get("unlabelled", 0))
    if config.data.view == "center":  # the features of the images that are trained on serve both
        return left_out
    if left_out:
        return counts["train"] + counts["unlabelled"]
    return counts["train"] if config.objective.tuned_teacher is not None else 0


def _num_few(config: TrainConfig, counts: Mapping[str, int]) -> int:
    return config.data.shots * counts["ood_labels"] if config.data.trains_on_shots else 0


def origins(config: TrainConfig, recipe: str, counts: Mapping[str, int]) -> dict[str, str]:
    """Why each setting that differs from the default has its value: recipe, images, machine, or request."""
    defaults, of_recipe, used = TrainConfig().flat(), RECIPES[recipe]().flat(), config.flat()
    automatic: dict[str, str] = {name: _why(name, config, counts) for name in config.schedule.automatic}
    found = {}
    for name in short_names():
        if name in automatic:
            found[name] = automatic[name]
        elif name != "automatic" and used[name] != of_recipe[name]:
            found[name] = "given"
        elif name != "automatic" and used[name] != defaults[name]:
            found[name] = f"recipe {recipe}"
    return found


def _why(name: Automatic, config: TrainConfig, counts: Mapping[str, int]) -> str:
    """Why an automatic setting has its value."""
    if name == "epochs":
        if config.schedule.time_budget_s is not None:
            return f"time budget of {time_text(config.schedule.time_budget_s)}, fitted by the worker"
        limits = "" if config.schedule.images_seen else f", {MIN_EPOCHS} to {MAX_EPOCHS} epochs"
        return f"{num_trained(config, counts):,} images, about {images_seen(config):,} to be seen{limits}"
    if name == "num_views":
        return f"one view for {PASSES_PER_VIEW} passes, {MIN_VIEWS} to {MAX_VIEWS}"
    if name == "batch_size":
        return f"number of images, {MIN_BATCH} to {MAX_BATCH}; less if the worker's memory holds less"
    if name == "lr":
        return "kind and start of the student, and batch size"
    return "bfloat16 if the worker has a GPU with it"
