"""Automatic settings: from the number of images, the student and the facts of a device, and never over a given one."""

from typing import Any

import pytest
from pydantic import ValidationError

from distill.config.automatic import (
    DeviceFacts,
    StudentFacts,
    chosen_settings,
    fit_to_device,
    fit_to_images,
    needs_device,
    with_chosen,
    with_epochs,
)
from distill.config.model_names import check_student
from distill.config.recipes import RECIPES, resolve_train_config
from distill.config.train_config import TrainConfig

# Those of a ResNet-18 at 224 px, as `distill.fitting.device_facts.student_facts` finds them.
RESNET18 = StudentFacts(num_parameters=11_439_168, num_activations=9_400_000)
GB = 10**9


def resolved(num_images: int, recipe: str = "limbeck", **settings: Any) -> TrainConfig:
    return resolve_train_config(recipe, settings, num_images=num_images)


@pytest.mark.parametrize(
    ("num_images", "settings", "epochs", "num_views", "batch_size"),
    [
        (200, {}, 300, 30, 32),
        (1521, {}, 300, 30, 64),
        (10_000, {}, 200, 20, 256),
        (100_000, {}, 20, 4, 256),
        (1_000_000, {}, 10, 4, 256),
        (10_000, {"pretrained": True}, 50, 5, 256),
        (10_000, {"images_seen": 50_000}, 5, 4, 256),
        (10_000, {"epochs": 7}, 7, 4, 256),
        (10_000, {"num_views": 2, "batch_size": 48}, 200, 2, 48),
        (10_000, {"epochs": 2}, 2, 2, 256),
    ],
)
def test_settings_follow_from_the_number_of_images(
    num_images: int, settings: dict[str, Any], epochs: int, num_views: int, batch_size: int
) -> None:
    config = resolved(num_images, **settings)
    found = (config.schedule.epochs, config.data.num_views, config.schedule.batch_size)
    assert found == (epochs, num_views, batch_size)


def test_the_learning_rate_follows_from_student_start_and_batch() -> None:
    rate = {
        name: resolved(10_000, **settings).optimizer.lr
        for name, settings in {
            "resnet": {},
            "pretrained": {"pretrained": True},
            "vit": {"student": "vit_base_patch32_224"},
            "quarter": {"batch_size": 64},
            "sgd": {"optimizer": "sgd"},
            "given": {"lr": 0.5},
        }.items()
    }
    assert resolved(64, batch_size=4096).optimizer.lr == 5e-4  # a step has 64 images
    assert rate == {"resnet": 1e-3, "pretrained": 3e-4, "vit": 5e-4, "quarter": 5e-4, "sgd": 0.1, "given": 0.5}


@pytest.mark.parametrize(
    ("student", "rate"),
    [
        ("pit_s_224", 5e-4),
        ("tnt_s_patch16_224", 5e-4),
        ("volo_d1_224", 5e-4),
        ("coat_tiny", 5e-4),
        ("pvt_v2_b0", 5e-4),
        ("twins_svt_small", 5e-4),
        ("nest_tiny", 5e-4),
        ("aimv2_large_patch14_224", 5e-4),
        ("resnest14d", 1e-3),
        ("repvit_m1", 1e-3),
        ("convnext_tiny", 1e-3),
    ],
)
def test_transformers_are_known_by_their_names(student: str, rate: float) -> None:
    assert resolved(10_000, student=student).optimizer.lr == rate


def test_a_batch_is_a_multiple_of_the_ranks() -> None:
    config = resolve_train_config("limbeck", {"accumulate": 2}, num_images=10_000, num_ranks=3)
    assert config.schedule.batch_size == 252


def test_recipes_without_automatic_settings_are_not_changed() -> None:
    for name in RECIPES:
        if name != "limbeck":
            assert resolved(123, name) == RECIPES[name]()
            assert not needs_device(RECIPES[name]())


def test_a_stored_config_keeps_its_values() -> None:
    """Only a request is resolved: a stored config without `automatic` is not touched by images or device."""
    stored = TrainConfig.model_validate(RECIPES["limbeck-small"]().model_dump())
    device = DeviceFacts(kind="cuda", memory_bytes=GB, has_bfloat16=True)
    assert fit_to_device(fit_to_images(stored, 9), device, RESNET18) == stored


def test_a_resolved_config_as_overrides_is_the_same_config() -> None:
    for settings in ({}, {"images_seen": 40_000}, {"time_budget_s": 60}, {"epochs": 3}):
        config = resolved(3000, **settings)
        assert resolved(3000, **config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("device", "precision", "batch_size"),
    [
        (DeviceFacts(kind="cuda", memory_bytes=80 * GB, has_bfloat16=True), "bfloat16", 256),
        (DeviceFacts(kind="cuda", memory_bytes=80 * GB), "float32", 256),
        (DeviceFacts(kind="cuda", memory_bytes=4 * GB, has_bfloat16=True), "bfloat16", 128),
        (DeviceFacts(kind="cuda", memory_bytes=4 * GB), "float32", 64),
        (DeviceFacts(kind="cpu", memory_bytes=64 * GB, has_bfloat16=True), "float32", 256),
        (DeviceFacts(kind="cpu", memory_bytes=8 * GB), "float32", 64),
        (DeviceFacts(kind="cpu", memory_bytes=GB // 10), "float32", 8),
    ],
)
def test_precision_and_batch_follow_from_the_device(device: DeviceFacts, precision: str, batch_size: int) -> None:
    config = fit_to_device(resolved(10_000), device, RESNET18)
    assert (config.system.precision, config.schedule.batch_size) == (precision, batch_size)
    assert config.optimizer.lr == pytest.approx(1e-3 * (batch_size / 256) ** 0.5, rel=0.005)
    given = fit_to_device(resolved(10_000, precision="float16", batch_size=512, lr=0.1), device, RESNET18)
    assert (given.system.precision, given.schedule.batch_size, given.optimizer.lr) == ("float16", 512, 0.1)


def test_a_smaller_batch_for_few_images_does_not_raise_the_learning_rate() -> None:
    config = resolved(10)
    assert (config.schedule.batch_size, config.optimizer.lr) == (32, 1.98e-4)  # of 10 images
    fitted = fit_to_device(config, DeviceFacts(kind="cpu", memory_bytes=2 * GB), RESNET18)
    assert (fitted.schedule.batch_size, fitted.optimizer.lr) == (16, 1.98e-4)


def test_ranks_share_a_batch() -> None:
    device = DeviceFacts(kind="cuda", memory_bytes=4 * GB)
    config = fit_to_device(resolved(10_000), device, RESNET18, num_ranks=4)
    assert config.schedule.batch_size == 256


def test_what_a_worker_chose_is_read_back() -> None:
    config = resolved(10_000, time_budget_s=600)
    chosen = with_epochs(fit_to_device(config, DeviceFacts(kind="cpu", memory_bytes=8 * GB), RESNET18), 17)
    assert with_chosen(config, chosen_settings(chosen)) == chosen
    assert with_chosen(config, chosen.flat()) == chosen
    fixed = resolved(10_000, "limbeck-small")
    assert chosen_settings(fixed) == {}
    assert with_chosen(fixed, chosen.flat()) == fixed


def test_milestones_keep_their_share_of_the_epochs() -> None:
    published = RECIPES["li2023_resnet"]()
    assert with_epochs(published, 30).schedule.milestones == (10, 20)
    assert with_epochs(published, 1).schedule.milestones == (1, 2)
    assert with_epochs(published, 90) == published


@pytest.mark.parametrize(
    ("settings", "at", "message"),
    [
        ({"epochs": 3, "images_seen": 10}, "images_seen", "epochs and images_seen both set"),
        ({"time_budget_s": 60, "schedule": {"epochs": 3}}, "time_budget_s", "epochs and time_budget_s both set"),
        ({"images_seen": 10, "time_budget_s": 60}, "time_budget_s", "images_seen and time_budget_s both set"),
        ({"time_budget_s": 0}, "time_budget_s", "greater than or equal to 1"),
    ],
)
def test_two_lengths_are_refused_where_they_are_given(settings: dict[str, Any], at: str, message: str) -> None:
    for recipe in ("limbeck", "limbeck-small"):
        with pytest.raises(ValidationError, match=message) as error:
            resolve_train_config(recipe, settings)
        assert error.value.errors()[0]["loc"] == (at,)


def test_budgets_set_the_epochs_of_every_recipe() -> None:
    assert resolved(1000, "li2023_resnet", images_seen=150_000).schedule.epochs == 30
    assert resolved(1000, "limbeck-small", time_budget_s=60).schedule.automatic == ("epochs",)


def test_views_of_a_time_budget_are_encoded_by_the_training() -> None:
    """No other worker encodes them ahead, because their number is not known."""
    assert resolved(1000).encodes_ahead
    assert not resolved(1000, time_budget_s=60).encodes_ahead


def test_a_short_name_of_a_student() -> None:
    assert check_student("mobilenetv4", pretrained=True).architecture == "mobilenetv4_conv_medium"
