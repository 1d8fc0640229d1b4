"""Learning rates against torch's own schedulers, and at the ends of their ranges."""

import pytest
import torch

from distill.config import resolve_train_config
from distill.schedules import build_optimizer, cosine_rate, one_cycle_momentum, one_cycle_rate, set_rates, step_rate


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.05, momentum=0.9)


@pytest.mark.parametrize("epochs", [2, 3, 4, 10, 90])
def test_one_cycle_is_torch_s(epochs: int) -> None:
    theirs = optimizer()
    scheduler = torch.optim.lr_scheduler.OneCycleLR(theirs, max_lr=0.2, total_steps=epochs)
    for epoch in range(epochs):
        group = theirs.param_groups[0]
        assert one_cycle_rate(epoch, epochs=epochs, peak=0.2) == pytest.approx(group["lr"])
        assert one_cycle_momentum(epoch, epochs=epochs) == pytest.approx(group["momentum"])
        theirs.step()
        if epoch + 1 < epochs:
            scheduler.step()


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
    assert max(rates) == pytest.approx(config.lr)
    assert rates[-1] < config.lr / 50
    assert mine.param_groups[0]["lr"] == rates[-1]
    assert mine.param_groups[0]["weight_decay"] == config.weight_decay


def test_one_cycle_moves_the_momentum_of_either_optimizer() -> None:
    for name, read in (("sgd", lambda group: group["momentum"]), ("adamw", lambda group: group["betas"][0])):
        config = resolve_train_config("li2023_vit", {"optimizer": name, "epochs": 10})
        mine = build_optimizer(torch.nn.Linear(2, 2), config)
        set_rates(mine, config, step=0, steps_per_epoch=1)
        assert read(mine.param_groups[0]) == pytest.approx(0.95)
        set_rates(mine, config, step=2, steps_per_epoch=1)
        assert read(mine.param_groups[0]) == pytest.approx(0.85)
