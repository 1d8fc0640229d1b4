"""Weight average: plain mean, exponential moving average, and tensors that are not averaged."""

import pytest
import torch
from torch import nn

from distill.config.recipes import resolve_train_config
from distill.training.weight_average import WeightAverage


def random_walk(steps: int, **overrides: object) -> tuple[nn.ModuleDict, WeightAverage, list[dict[str, torch.Tensor]]]:
    """A small model whose weights and statistics change at each step, their average, and the state after each step."""
    student = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    learner = nn.ModuleDict({"student": student, "objective": nn.Linear(2, 1)})
    learner["objective"].register_buffer("queue", torch.zeros(4))
    average = WeightAverage(learner, resolve_train_config("limbeck-small", overrides).weight_average, total_steps=steps)
    states: list[dict[str, torch.Tensor]] = []
    for step in range(1, steps + 1):
        with torch.no_grad():
            for parameter in learner.parameters():
                parameter += torch.randn_like(parameter)
            learner["student"](torch.randn(8, 3))
            learner["objective"].queue += 1
        average.update(step)
        states.append({name: tensor.detach().clone() for name, tensor in learner.state_dict().items()})
    return learner, average, states


@pytest.mark.parametrize(("share", "first"), [(0.0, 1), (0.25, 2), (0.9, 9)])
def test_mean_is_over_all_steps_from_the_first_averaged_step(share: float, first: int) -> None:
    learner, average, states = random_walk(10, average="mean", average_from=share)
    last = average.swap_in()
    assert last is not None
    for name, tensor in learner.state_dict().items():
        if name in ("objective.queue", "student.1.num_batches_tracked"):
            assert torch.equal(tensor, states[-1][name])
        else:
            expected = torch.stack([state[name] for state in states[first - 1 :]]).double().mean(dim=0)
            torch.testing.assert_close(tensor.double(), expected, rtol=1e-5, atol=1e-6)
    for name, tensor in last.items():
        assert torch.equal(tensor, states[-1][f"student.{name}"])


def test_exponential_moving_average_equals_its_recursion() -> None:
    learner, average, states = random_walk(10, average="ema", ema_decay=0.8, average_from=0.3)
    expected = states[2]["student.0.weight"].double()
    for state in states[3:]:
        expected = 0.8 * expected + 0.2 * state["student.0.weight"].double()
    average.swap_in()
    torch.testing.assert_close(learner.state_dict()["student.0.weight"].double(), expected, rtol=1e-5, atol=1e-6)


def test_no_tensors_are_kept_if_off() -> None:
    learner, average, states = random_walk(3)
    assert average.tensors == {}
    assert average.swap_in() is None
    assert torch.equal(learner.state_dict()["student.0.weight"], states[-1]["student.0.weight"])
