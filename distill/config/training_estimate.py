"""What a training will do, from its config and the number of its images: for `limbeck distill --dry-run`. No torch.

N images to train on, V teacher views of each.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from distill.config.batch_plan import plan_batches
from distill.config.image_size import train_size
from distill.config.recipes import RECIPES
from distill.config.train_config import TrainConfig, short_names


@dataclass(frozen=True, kw_only=True)
class TrainingEstimate:
    """`images_seen`: by the student, over all steps. `teacher_before`: forward passes of the teacher before the first
    step, one for each cached feature; `teacher_during`: during the training. `measured`: images of the evaluation.
    `decoded_bytes`: of the images that are decoded and kept for the training. `origins`: why a setting has its value.
    """

    batch_size: int
    steps_per_epoch: int
    total_steps: int
    images_seen: int
    teacher_before: int
    teacher_during: int
    measured: int
    decoded_bytes: int
    origins: Mapping[str, str]


def estimate_training(
    config: TrainConfig, recipe: str, counts: Mapping[str, int], num_ranks: int = 1
) -> TrainingEstimate:
    """What a training of `config` on images of these `counts` will do. Raises ValueError as `plan_batches`."""
    data, schedule = config.data, config.schedule
    few = data.shots * counts["ood_labels"] if data.trains_on_shots else 0
    unlabelled = counts.get("unlabelled", 0)
    labelled = counts["train"] + few
    plan = plan_batches(config, labelled, num_ranks, num_few=few, has_unlabelled=unlabelled > 0)
    passes = schedule.epochs * schedule.passes_per_epoch
    per_pass = plan.images_per_pass + plan.steps_per_pass * (plan.split.few + plan.num_unlabelled)
    images = labelled + unlabelled
    # An image can be used more than once in a pass if labels are balanced, or beside unlabelled images.
    shared = data.num_views if data.sampling != "uniform" or unlabelled else min(data.num_views, passes)
    num_views = {"same": shared, "live": 0}.get(data.view, 1)
    has_teacher = data.protocol != "closed_set"
    return TrainingEstimate(
        batch_size=plan.batch_size,
        steps_per_epoch=plan.steps_per_epoch,
        total_steps=plan.total_steps,
        images_seen=per_pass * passes,
        teacher_before=images * num_views if has_teacher else 0,
        teacher_during=per_pass * passes if has_teacher and data.view == "live" else 0,
        measured=counts["held_out"] + counts["ood"] - data.shots * counts["ood_labels"],
        decoded_bytes=images * train_size(config.student.size).num_pixels * 3,
        origins=origins(config, recipe),
    )


def origins(config: TrainConfig, recipe: str) -> dict[str, str]:
    """Why each setting that differs from the default has its value: the recipe, or the request."""
    defaults, of_recipe, used = TrainConfig().flat(), RECIPES[recipe]().flat(), config.flat()
    found = {}
    for name in short_names():
        if used[name] != of_recipe[name]:
            found[name] = "given"
        elif used[name] != defaults[name]:
            found[name] = f"recipe {recipe}"
    return found
