"""The average of the weights: a plain mean and an exponential one, from their step on, and what is left as it is."""

import pytest
import torch
from torch import nn

from distill.config.recipes import resolve_train_config
from distill.training.weight_average import WeightAverage


def walk(steps: int, **asked: object) -> tuple[nn.ModuleDict, WeightAverage, list[dict[str, torch.Tensor]]]:
    """A small model whose weights and statistics move at each step, their average, and where they have been."""
    student = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    learner = nn.ModuleDict({"student": student, "objective": nn.Linear(2, 1)})
    learner["objective"].register_buffer("queue", torch.zeros(4))
    average = WeightAverage(learner, resolve_train_config("limbeck", asked), total_steps=steps)
    been: list[dict[str, torch.Tensor]] = []
    for step in range(1, steps + 1):
        with torch.no_grad():
            for parameter in learner.parameters():
                parameter += torch.randn_like(parameter)
            learner["student"](torch.randn(8, 3))
            learner["objective"].queue += 1
        average.update(step)
        been.append({name: tensor.detach().clone() for name, tensor in learner.state_dict().items()})
    return learner, average, been


@pytest.mark.parametrize(("share", "first"), [(0.0, 1), (0.25, 2), (0.9, 9)])
def test_the_mean_is_that_of_all_steps_from_the_first(share: float, first: int) -> None:
    learner, average, been = walk(10, average="mean", average_from=share)
    last = average.swap_in()
    assert last is not None
    for name, tensor in learner.state_dict().items():
        if name in ("objective.queue", "student.1.num_batches_tracked"):
            assert torch.equal(tensor, been[-1][name])
        else:
            want = torch.stack([one[name] for one in been[first - 1 :]]).double().mean(dim=0)
            torch.testing.assert_close(tensor.double(), want, rtol=1e-5, atol=1e-6)
    for name, tensor in last.items():
        assert torch.equal(tensor, been[-1][f"student.{name}"])


def test_the_exponential_mean_forgets() -> None:
    learner, average, been = walk(10, average="ema", ema_decay=0.8, average_from=0.3)
    want = been[2]["student.0.weight"].double()
    for one in been[3:]:
        want = 0.8 * want + 0.2 * one["student.0.weight"].double()
    average.swap_in()
    torch.testing.assert_close(learner.state_dict()["student.0.weight"].double(), want, rtol=1e-5, atol=1e-6)


def test_off_it_keeps_nothing() -> None:
    learner, average, been = walk(3)
    assert average.tensors == {}
    assert average.swap_in() is None
    assert torch.equal(learner.state_dict()["student.0.weight"], been[-1]["student.0.weight"])
