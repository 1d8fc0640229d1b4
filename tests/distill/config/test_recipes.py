"""Recipes: every one is built, has the published numbers, and can be varied."""

import pytest

from distill.config.loss_registry import TERMS
from distill.config.recipes import RECIPES, resolve_train_config
from distill.config.train_config import LossWeights, TrainConfig, check_student
from distill.training.objective import Objective


@pytest.mark.parametrize("recipe", list(RECIPES))
def test_every_recipe_is_built_with_a_student_that_timm_knows_and_has_an_objective(recipe: str) -> None:
    config = resolve_train_config(recipe, {})
    assert check_student(config.student) == config.student
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config
    assert Objective(config, width=8).weights == config.losses.above_zero()


def test_published_numbers() -> None:
    resnet, vit = RECIPES["li2023_resnet"](), RECIPES["li2023_vit"]()
    assert (resnet.optimizer, resnet.momentum, resnet.weight_decay, resnet.lr) == ("sgd", 0.9, 1e-4, 0.05)
    assert (resnet.schedule, resnet.milestones, resnet.step_factor) == ("step", (30, 60), 0.1)
    assert (resnet.epochs, resnet.passes_per_epoch, resnet.batch_size) == (90, 5, 128)
    assert (vit.optimizer, vit.weight_decay, vit.lr, vit.schedule) == ("adamw", 0.01, 1e-4, "one_cycle")
    assert (vit.epochs, vit.passes_per_epoch, vit.batch_size) == (90, 5, 128)
    assert (vit.augmentation.rand_ops, vit.augmentation.rand_magnitude, vit.augmentation.flip) == (2, 9, False)
    assert (resnet.augmentation.rand_ops, resnet.augmentation.flip) == (0, True)
    for recipe in (resnet, vit):
        assert recipe.losses == LossWeights(cls=1, mse=1, im_cst=1, vlalign=1)
        assert (recipe.temperature, recipe.vlalign_top_k, recipe.vlalign_only_right) == (0.07, 256, True)
        assert (recipe.mse_form, recipe.im_cst_mode, recipe.context_tokens) == ("normalised", "both", 0)
        assert (recipe.protocol, recipe.view, recipe.image_px, recipe.test_crop) == ("zero_shot", "squash", 224, 0.875)


def test_published_few_shot_numbers() -> None:
    resnet, vit = RECIPES["li2023_resnet_5shot"](), RECIPES["li2023_vit_5shot"]()
    for recipe in (resnet, vit):
        assert (recipe.protocol, recipe.shots, recipe.epochs, recipe.schedule) == ("fine_tune", 5, 20, "one_cycle")
    assert (resnet.optimizer, resnet.lr, resnet.passes_per_epoch) == ("sgd", 1e-3, 5)
    assert (vit.optimizer, vit.lr, vit.passes_per_epoch) == ("adamw", 2e-4, 3)
    # What is not said to differ is that of the student it starts from.
    changed = {"protocol", "shots", "epochs", "schedule", "lr", "passes_per_epoch"}
    for few, whole in ((resnet, "li2023_resnet"), (vit, "li2023_vit")):
        assert few.model_dump(exclude=changed) == RECIPES[whole]().model_dump(exclude=changed)


def test_the_closed_set_baseline_of_any_recipe_is_one_word() -> None:
    for recipe in ("limbeck", "li2023_resnet"):
        config = resolve_train_config(recipe, {"protocol": "closed_set"})
        assert config.losses.above_zero() == {"closed_set": 1.0}
        assert config.lr == RECIPES[recipe]().lr
    assert set(TERMS) - set(resolve_train_config("limbeck", {}).losses.above_zero()) >= {"closed_set", "unseen"}


def test_overrides_merge_below_a_field() -> None:
    config = resolve_train_config("limbeck", {"epochs": 3, "losses": {"mse": 0}})
    assert config.epochs == 3
    assert config.losses == RECIPES["limbeck"]().losses.model_copy(update={"mse": 0.0})


def test_an_unknown_recipe_is_told_which_there_are() -> None:
    with pytest.raises(ValueError, match="no recipe .*li2023_resnet"):
        resolve_train_config("li2024", {})
