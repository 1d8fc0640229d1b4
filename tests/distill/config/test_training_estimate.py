"""What a training will do, beside the plan of the loader and the cached views."""

from typing import Any

import pytest

from distill.config.recipes import resolve_train_config
from distill.config.training_estimate import TrainingEstimate, estimate_training
from distill.training.loader import plan_batches

COUNTS = {"train": 4122, "held_out": 1740, "ood": 5926, "id_labels": 100, "ood_labels": 100}


def estimated(recipe: str, counts: dict[str, int] | None = None, **settings: Any) -> TrainingEstimate:
    return estimate_training(resolve_train_config(recipe, settings), recipe, COUNTS | (counts or {}))


def test_steps_are_those_of_the_loader() -> None:
    config = resolve_train_config("li2023_resnet", {})
    plan, found = plan_batches(config, 4122), estimated("li2023_resnet")
    assert (found.total_steps, found.steps_per_epoch) == (plan.total_steps, plan.steps_per_epoch) == (14_850, 165)
    assert found.images_seen == 4122 * 5 * 90
    assert (found.measured, found.decoded_bytes) == (7666, 4122 * 256 * 256 * 3)


@pytest.mark.parametrize(
    ("settings", "before", "during"),
    [
        ({"view": "center"}, 4122, 0),
        ({"view": "same", "num_views": 8}, 8 * 4122, 0),
        ({"view": "same", "num_views": 8, "epochs": 2}, 2 * 4122, 0),
        ({"view": "live", "epochs": 2, "last_batch": "keep"}, 0, 2 * 4122),
        ({"protocol": "closed_set"}, 0, 0),
    ],
)
def test_passes_of_the_teacher(settings: dict[str, Any], before: int, during: int) -> None:
    found = estimated("limbeck", epochs=settings.pop("epochs", 20), **settings)
    assert (found.teacher_cached, found.teacher_live) == (before, during)


@pytest.mark.parametrize(
    ("settings", "before", "images"),
    [
        ({"view": "center"}, 6122, 6122),
        ({"view": "center", "unlabelled_nearest": 500}, 6122, 4622),
        ({"view": "live", "unlabelled_nearest": 500}, 6122, 4622),
        ({"view": "live", "unlabelled_nearest": 5000}, 0, 6122),
        ({"view": "center", "tuned_teacher": 1.0}, 6122, 6122),
        ({"view": "squash", "tuned_teacher": 1.0}, 6122 + 4122, 6122),
    ],
)
def test_chosen_images_and_a_tuned_teacher_cost_passes_over_whole_images(
    settings: dict[str, Any], before: int, images: int
) -> None:
    found = estimated("limbeck-small", {"unlabelled": 2000}, student="test_resnet", image_px=64, **settings)
    assert found.teacher_cached == before
    assert found.decoded_bytes % images == 0


def test_few_shot_images_are_trained_on_and_not_measured() -> None:
    found = estimated("li2023_resnet_5shot")
    assert found.measured == 7666 - 500
    assert found.teacher_cached == 4122 + 500
    assert found.images_seen == (4122 + 65 * 64) * 5 * 20  # 64 few-shot images in each of 65 batches of a pass


def test_why_a_setting_has_its_value() -> None:
    found = estimated("li2023_resnet", epochs=3)
    assert found.origins["epochs"] == "given"
    assert found.origins["view"] == "recipe li2023_resnet"
    assert "vlalign_top_k" not in found.origins
