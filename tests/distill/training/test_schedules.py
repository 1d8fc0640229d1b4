"""Learning-rate schedules, compared with torch's schedulers."""

import pytest
import torch

from distill.config.recipes import resolve_train_config
from distill.training.schedules import (
    build_optimizer,
    cosine_lr,
    one_cycle_lr,
    one_cycle_momentum,
    set_learning_rate,
    step_lr,
)


def torch_optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.05, momentum=0.9)


@pytest.mark.parametrize("total", [2, 3, 4, 10, 90])
def test_one_cycle_equals_torch(total: int) -> None:
    reference = torch_optimizer()
    scheduler = torch.optim.lr_scheduler.OneCycleLR(reference, max_lr=0.2, total_steps=total)
    for index in range(total):
        group = reference.param_groups[0]
        assert one_cycle_lr(index, total=total, peak=0.2) == pytest.approx(group["lr"])
        assert one_cycle_momentum(index, total=total) == pytest.approx(group["momentum"])
        reference.step()
        if index + 1 < total:
            scheduler.step()


@pytest.mark.parametrize(("per", "updates"), [("epoch", 5), ("step", 20)])
def test_one_cycle_is_updated_per_epoch_or_per_step(per: str, updates: int) -> None:
    config = resolve_train_config("li2023_vit", {"epochs": 5, "one_cycle_per": per})
    optimizer, reference = build_optimizer(torch.nn.Linear(2, 2), config.optimizer), torch_optimizer()
    scheduler = torch.optim.lr_scheduler.OneCycleLR(reference, max_lr=config.optimizer.lr, total_steps=updates)
    for step in range(20):
        assert set_learning_rate(optimizer, config, step=step, steps_per_epoch=4) == pytest.approx(
            reference.param_groups[0]["lr"]
        )
        assert optimizer.param_groups[0]["betas"][0] == pytest.approx(reference.param_groups[0]["momentum"])
        if (step + 1) % (20 // updates) == 0 and step < 19:
            reference.step()
            scheduler.step()


def test_step_schedule_has_a_linear_warmup_if_configured() -> None:
    overrides = {"epochs": 10, "milestones": [5], "warmup": 0.2, "lr": 1.0}
    config = resolve_train_config("li2023_resnet", overrides)
    optimizer = build_optimizer(torch.nn.Linear(2, 2), config.optimizer)
    rates = [set_learning_rate(optimizer, config, step=step, steps_per_epoch=2) for step in range(20)]
    assert rates == pytest.approx([0.25, 0.5, 0.75] + [1.0] * 7 + [0.1] * 10)
    assert resolve_train_config("li2023_resnet", {}).schedule.warmup == 0


def test_step_schedule_equals_torch() -> None:
    reference = torch_optimizer()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(reference, [30, 60], gamma=0.1)
    for epoch in range(90):
        lr = step_lr(epoch, peak=0.05, milestones=(30, 60), factor=0.1)
        assert lr == pytest.approx(reference.param_groups[0]["lr"])
        reference.step()
        scheduler.step()


def test_cosine_rises_to_its_peak_and_falls_to_almost_zero() -> None:
    rates = [cosine_lr(step, total_steps=100, peak=1.0, warmup=0.1) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert rates[10] == max(rates) == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.001
    assert cosine_lr(0, total_steps=1, peak=0.3, warmup=0.0) == 0.3


@pytest.mark.parametrize("recipe", ["li2023_resnet", "li2023_vit", "limbeck", "limbeck-small"])
def test_optimizer_follows_the_schedule_of_its_recipe(recipe: str) -> None:
    config = resolve_train_config(recipe, {"epochs": 90})
    optimizer = build_optimizer(torch.nn.Linear(2, 2), config.optimizer)
    rates = [set_learning_rate(optimizer, config, step=step, steps_per_epoch=3) for step in range(270)]
    assert max(rates) == pytest.approx(config.optimizer.lr)
    assert rates[-1] < config.optimizer.lr / 50
    assert optimizer.param_groups[0]["lr"] == rates[-1]
    assert optimizer.param_groups[0]["weight_decay"] == config.optimizer.weight_decay


def test_one_cycle_sets_the_momentum_of_either_optimizer() -> None:
    for name, read in (("sgd", lambda group: group["momentum"]), ("adamw", lambda group: group["betas"][0])):
        config = resolve_train_config("li2023_vit", {"optimizer": name, "epochs": 10})
        optimizer = build_optimizer(torch.nn.Linear(2, 2), config.optimizer)
        set_learning_rate(optimizer, config, step=0, steps_per_epoch=1)
        assert read(optimizer.param_groups[0]) == pytest.approx(0.95)
        set_learning_rate(optimizer, config, step=2, steps_per_epoch=1)
        assert read(optimizer.param_groups[0]) == pytest.approx(0.85)
