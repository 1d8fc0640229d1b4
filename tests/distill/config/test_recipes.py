"""Recipes: each builds, has the published numbers, and can be overridden."""

import pytest
from pydantic import ValidationError

from distill.config.loss_registry import LOSS_TERMS
from distill.config.model_names import check_student
from distill.config.recipes import RECIPES, resolve_train_config
from distill.config.train_config import LossWeights, OptimizerConfig, TrainConfig
from distill.training.objective import Objective


@pytest.mark.parametrize("recipe", list(RECIPES))
def test_every_recipe_builds_with_a_known_student_and_an_objective(recipe: str) -> None:
    config = resolve_train_config(recipe, {})
    assert str(check_student(config.student.architecture)) == config.student.architecture
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config
    assert Objective(config, width=8).weights == config.objective.losses.above_zero()


def test_published_numbers() -> None:
    resnet, vit = RECIPES["li2023_resnet"](), RECIPES["li2023_vit"]()
    assert resnet.optimizer == OptimizerConfig(name="sgd", momentum=0.9, weight_decay=1e-4, lr=0.05)
    assert (resnet.schedule.kind, resnet.schedule.milestones, resnet.schedule.step_factor) == ("step", (30, 60), 0.1)
    assert (vit.optimizer.name, vit.optimizer.weight_decay, vit.optimizer.lr) == ("adamw", 0.01, 1e-4)
    assert vit.schedule.kind == "one_cycle"
    vit_augmentation, resnet_augmentation = vit.data.augmentation, resnet.data.augmentation
    assert (vit_augmentation.rand_ops, vit_augmentation.rand_magnitude, vit_augmentation.flip) == (2, 9, False)
    assert (resnet_augmentation.rand_ops, resnet_augmentation.flip) == (0, True)
    for recipe in (resnet, vit):
        assert (recipe.schedule.epochs, recipe.schedule.passes_per_epoch, recipe.schedule.batch_size) == (90, 5, 128)
        objective = recipe.objective
        assert objective.losses == LossWeights(cls=1, mse=1, im_cst=1, vlalign=1)
        assert (objective.temperature, objective.vlalign_top_k, objective.vlalign_only_right) == (0.07, 256, True)
        assert (objective.mse_form, objective.im_cst_mode, objective.context_tokens) == ("normalised", "both", 0)
        assert (recipe.data.protocol, recipe.data.view) == ("zero_shot", "squash_256")
        assert (recipe.student.image_px, recipe.student.test_crop) == (224, 0.875)


def test_improved_variants_have_another_name_and_leave_the_numbers() -> None:
    for name in ("li2023_resnet", "li2023_vit"):
        before, after = RECIPES[name]().flat(), RECIPES[f"{name}_improved"]().flat()
        assert {key for key in after if after[key] != before[key]} == {"init", "resize", "view", "last_batch"}


def test_published_few_shot_numbers() -> None:
    resnet, vit = RECIPES["li2023_resnet_5shot"](), RECIPES["li2023_vit_5shot"]()
    for recipe in (resnet, vit):
        assert (recipe.data.protocol, recipe.data.shots) == ("fine_tune", 5)
        assert (recipe.schedule.epochs, recipe.schedule.kind) == (20, "one_cycle")
    assert (resnet.optimizer.name, resnet.optimizer.lr, resnet.schedule.passes_per_epoch) == ("sgd", 1e-3, 5)
    assert (vit.optimizer.name, vit.optimizer.lr, vit.schedule.passes_per_epoch) == ("adamw", 2e-4, 3)
    # All other settings equal those of the zero-shot recipe.
    changed = {"protocol", "shots", "epochs", "schedule", "lr", "passes_per_epoch"}
    for few, whole in ((resnet, "li2023_resnet"), (vit, "li2023_vit")):
        before, after = RECIPES[whole]().flat(), few.flat()
        assert {name for name in after if after[name] != before[name]} <= changed


def test_closed_set_baseline_needs_one_override() -> None:
    for recipe in ("limbeck", "li2023_resnet"):
        config = resolve_train_config(recipe, {"protocol": "closed_set"})
        assert config.objective.losses.above_zero() == {"closed_set": 1.0}
        assert config.optimizer == RECIPES[recipe]().optimizer
    used = resolve_train_config("limbeck", {}).objective.losses.above_zero()
    assert set(LOSS_TERMS) - set(used) >= {"closed_set", "unseen"}


def test_overrides_merge_below_a_field() -> None:
    config = resolve_train_config("limbeck", {"epochs": 3, "losses": {"mse": 0}})
    assert config.schedule.epochs == 3
    assert config.objective.losses == RECIPES["limbeck"]().objective.losses.model_copy(update={"mse": 0.0})


def test_short_names_and_sections_are_merged() -> None:
    overrides = {"losses": {"mse": 0}, "epochs": 3, "objective": {"losses": {"cls": 0}}, "schedule": {"warmup": 0.5}}
    for given in (overrides, dict(reversed(overrides.items()))):
        config = resolve_train_config("limbeck", given)
        assert config.objective.losses.above_zero() == {"im_cst": 1.0}
        assert (config.schedule.epochs, config.schedule.warmup) == (3, 0.5)


def test_a_setting_with_two_different_values_is_refused() -> None:
    same = resolve_train_config("limbeck", {"epochs": 3, "schedule": {"epochs": 3}})
    assert same.schedule.epochs == 3
    for given in ({"epochs": 2, "schedule": {"epochs": 3}}, {"schedule": {"epochs": 3}, "epochs": 2}):
        with pytest.raises(ValidationError, match="epochs and schedule.epochs are the same setting") as error:
            resolve_train_config("limbeck", given)
        assert error.value.errors()[0]["loc"] == ("epochs",)


def test_error_for_an_unknown_recipe_lists_the_recipes() -> None:
    with pytest.raises(ValueError, match="no recipe .*li2023_resnet"):
        resolve_train_config("li2024", {})
