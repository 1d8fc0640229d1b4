"""A run's state: what comes back is what went in, and another run's state, or a damaged one, is refused by name."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from distill.config.recipes import resolve_train_config
from distill.training.training_state import StateError, TrainingPosition, load_state, save_state
from distill.training.weight_average import WeightAverage

IDENTITY: dict[str, Any] = {"config": {"lr": 0.1, "device": "cpu", "milestones": (1, 2)}, "data": {"dataset": "a"}}


def run(kind: str, *, seed: int = 0, width: int = 4) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A model with a convolution in channels-last and a batch norm, and an optimiser that has made two steps."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Flatten(), nn.Linear(width * 4, 2))
    model = model.to(memory_format=torch.channels_last)
    make = {"sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), "adamw": torch.optim.AdamW}
    optimizer = make[kind](model.parameters())
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.randn(2, 3, 4, 4)).square().sum().backward()
        optimizer.step()
    return model, optimizer


def averages(learner: nn.Module) -> WeightAverage:
    return WeightAverage(learner, resolve_train_config("limbeck", {"average": "mean"}), total_steps=10)


def flat(optimizer: torch.optim.Optimizer) -> list[tuple[int, str, torch.Tensor]]:
    state = optimizer.state_dict()["state"]
    return [(at, name, state[at][name]) for at in sorted(state) for name in sorted(state[at])]


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_what_comes_back_is_what_went_in(tmp_path: Path, kind: str) -> None:
    model, optimizer = run(kind)
    position = TrainingPosition(step=7, seconds=1.5, log=[{"step": 7, "loss": 0.25}])
    save_state(tmp_path / "state.safetensors", model, optimizer, position, IDENTITY)
    other, its_optimizer = run(kind, seed=1)
    assert load_state(tmp_path / "state.safetensors", other, its_optimizer, IDENTITY) == position
    for name, tensor in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)
    assert len(flat(optimizer)) > 3
    for (at, name, value), (its_at, its_name, its_value) in zip(flat(optimizer), flat(its_optimizer), strict=True):
        assert (at, name, value.stride()) == (its_at, its_name, its_value.stride())
        assert torch.equal(value, its_value)


def test_the_file_is_whole_and_readable_and_the_old_one_outlives_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.safetensors"
    save_state(path, *run("sgd"), TrainingPosition(step=1), IDENTITY)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_state(path, *run("sgd"), TrainingPosition(step=2), IDENTITY)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("identity", "says"),
    [
        ({**IDENTITY, "config": {**IDENTITY["config"], "lr": 0.2}}, "config.lr was 0.1, is 0.2"),
        ({**IDENTITY, "data": {"dataset": "b"}}, "data.dataset was 'a', is 'b'"),
        ({**IDENTITY, "width": 3}, "width was None, is 3"),
    ],
)
def test_the_state_of_another_run_is_refused_with_what_differs(
    tmp_path: Path, identity: dict[str, Any], says: str
) -> None:
    save_state(tmp_path / "s", *run("sgd"), TrainingPosition(), IDENTITY)
    model, optimizer = run("sgd", seed=1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(StateError, match=says):
        load_state(tmp_path / "s", model, optimizer, identity)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_what_does_not_matter_may_differ(tmp_path: Path) -> None:
    save_state(tmp_path / "s", *run("sgd"), TrainingPosition(step=3), IDENTITY)
    elsewhere = {**IDENTITY, "config": {**IDENTITY["config"], "device": "cuda", "threads": 4}}
    assert load_state(tmp_path / "s", *run("sgd"), elsewhere).step == 3


def test_weights_of_another_width_are_refused(tmp_path: Path) -> None:
    save_state(tmp_path / "s", *run("sgd"), TrainingPosition(), IDENTITY)
    with pytest.raises(StateError, match="another model"):
        load_state(tmp_path / "s", *run("sgd", width=8), IDENTITY)


def test_a_damaged_or_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s"
    save_state(path, *run("sgd"), TrainingPosition(), IDENTITY)
    whole = path.read_bytes()
    for length in (0, 4, 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(StateError, match="cut short or damaged"):
            load_state(path, *run("sgd"), IDENTITY)
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(StateError, match="no training state"):
        load_state(path, *run("sgd"), IDENTITY)


def test_a_state_that_was_altered_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s"
    save_state(path, *run("sgd"), TrainingPosition(step=3, log=[{"step": 3}]), IDENTITY)
    whole = bytearray(path.read_bytes())
    for at in (len(whole) - 5, len(whole) // 2, whole.index(b'\\"step\\": 3') + 11):
        spoiled = whole.copy()
        spoiled[at] ^= 1
        path.write_bytes(spoiled)
        model, optimizer = run("sgd", seed=1)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        with pytest.raises(StateError, match="its content is not what was saved|cut short or damaged"):
            load_state(path, model, optimizer, IDENTITY)
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    path.write_bytes(whole)
    assert load_state(path, *run("sgd"), IDENTITY).step == 3


def test_averages_and_the_scale_of_the_loss_come_back(tmp_path: Path) -> None:
    model, optimizer = run("adamw")
    learner = nn.ModuleDict({"student": model})
    average, scaler = averages(learner), torch.amp.GradScaler("cpu", init_scale=128.0)
    average.update(1)
    scaler.scale(torch.ones(()))
    scaler.update(64.0)
    save_state(tmp_path / "s", learner, optimizer, TrainingPosition(), IDENTITY, average=average, scaler=scaler)
    other = nn.ModuleDict({"student": run("adamw", seed=1)[0]})
    again, its_scaler = averages(other), torch.amp.GradScaler("cpu")
    load_state(tmp_path / "s", other, optimizer, IDENTITY, average=again, scaler=its_scaler)
    assert its_scaler.get_scale() == 64.0
    assert again.tensors.keys() == average.tensors.keys()
    for name, tensor in average.tensors.items():
        assert torch.equal(again.tensors[name], tensor)
        assert again.tensors[name].stride() == tensor.stride()
