"""Learning rates against torch's own schedulers, and at the ends of their ranges."""

import pytest
import torch

from distill.config.recipes import resolve_train_config
from distill.training.schedules import (
    build_optimizer,
    cosine_rate,
    one_cycle_momentum,
    one_cycle_rate,
    set_rates,
    step_rate,
)


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.05, momentum=0.9)


@pytest.mark.parametrize("total", [2, 3, 4, 10, 90])
def test_one_cycle_is_torch_s(total: int) -> None:
    theirs = optimizer()
    scheduler = torch.optim.lr_scheduler.OneCycleLR(theirs, max_lr=0.2, total_steps=total)
    for at in range(total):
        group = theirs.param_groups[0]
        assert one_cycle_rate(at, total=total, peak=0.2) == pytest.approx(group["lr"])
        assert one_cycle_momentum(at, total=total) == pytest.approx(group["momentum"])
        theirs.step()
        if at + 1 < total:
            scheduler.step()


@pytest.mark.parametrize(("per", "moves"), [("epoch", 5), ("step", 20)])
def test_one_cycle_moves_once_an_epoch_or_every_step(per: str, moves: int) -> None:
    config = resolve_train_config("li2023_vit", {"epochs": 5, "one_cycle_per": per})
    mine, theirs = build_optimizer(torch.nn.Linear(2, 2), config), optimizer()
    scheduler = torch.optim.lr_scheduler.OneCycleLR(theirs, max_lr=config.optimizer.lr, total_steps=moves)
    for step in range(20):
        assert set_rates(mine, config, step=step, steps_per_epoch=4) == pytest.approx(theirs.param_groups[0]["lr"])
        assert mine.param_groups[0]["betas"][0] == pytest.approx(theirs.param_groups[0]["momentum"])
        if (step + 1) % (20 // moves) == 0 and step < 19:
            theirs.step()
            scheduler.step()


def test_steps_begin_with_a_rise_where_one_is_asked_for() -> None:
    asked = {"epochs": 10, "milestones": [5], "warmup": 0.2, "lr": 1.0}
    config = resolve_train_config("li2023_resnet", asked)
    mine = build_optimizer(torch.nn.Linear(2, 2), config)
    rates = [set_rates(mine, config, step=step, steps_per_epoch=2) for step in range(20)]
    assert rates == pytest.approx([0.25, 0.5, 0.75] + [1.0] * 7 + [0.1] * 10)
    assert resolve_train_config("li2023_resnet", {}).schedule.warmup == 0


def test_steps_are_torch_s() -> None:
    theirs = optimizer()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(theirs, [30, 60], gamma=0.1)
    for epoch in range(90):
        mine = step_rate(epoch, peak=0.05, milestones=(30, 60), factor=0.1)
        assert mine == pytest.approx(theirs.param_groups[0]["lr"])
        theirs.step()
        scheduler.step()


def test_cosine_rises_to_its_peak_and_falls_to_nearly_nothing() -> None:
    rates = [cosine_rate(step, total_steps=100, peak=1.0, warmup=0.1) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert rates[10] == max(rates) == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.001
    assert cosine_rate(0, total_steps=1, peak=0.3, warmup=0.0) == 0.3


@pytest.mark.parametrize("recipe", ["li2023_resnet", "li2023_vit", "limbeck"])
def test_an_optimizer_follows_its_recipe(recipe: str) -> None:
    config = resolve_train_config(recipe, {"epochs": 90})
    mine = build_optimizer(torch.nn.Linear(2, 2), config)
    rates = [set_rates(mine, config, step=step, steps_per_epoch=3) for step in range(270)]
    assert max(rates) == pytest.approx(config.optimizer.lr)
    assert rates[-1] < config.optimizer.lr / 50
    assert mine.param_groups[0]["lr"] == rates[-1]
    assert mine.param_groups[0]["weight_decay"] == config.optimizer.weight_decay


def test_one_cycle_moves_the_momentum_of_either_optimizer() -> None:
    for name, read in (("sgd", lambda group: group["momentum"]), ("adamw", lambda group: group["betas"][0])):
        config = resolve_train_config("li2023_vit", {"optimizer": name, "epochs": 10})
        mine = build_optimizer(torch.nn.Linear(2, 2), config)
        set_rates(mine, config, step=0, steps_per_epoch=1)
        assert read(mine.param_groups[0]) == pytest.approx(0.95)
        set_rates(mine, config, step=2, steps_per_epoch=1)
        assert read(mine.param_groups[0]) == pytest.approx(0.85)
