"""Training state: save and load, and errors for damaged states and states of other runs."""

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


def trained(kind: str, *, seed: int = 0, width: int = 4) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A model with a channels-last convolution and a batch norm, and its optimizer after two steps."""
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


def mean_of(learner: nn.Module) -> WeightAverage:
    return WeightAverage(
        learner, resolve_train_config("limbeck-small", {"average": "mean"}).weight_average, total_steps=10
    )


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> list[tuple[int, str, torch.Tensor]]:
    state = optimizer.state_dict()["state"]
    return [(index, name, state[index][name]) for index in sorted(state) for name in sorted(state[index])]


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_loaded_state_equals_saved_state(tmp_path: Path, kind: str) -> None:
    model, optimizer = trained(kind)
    position = TrainingPosition(step=7, seconds=1.5, log=[{"step": 7, "loss": 0.25}])
    save_state(tmp_path / "state.safetensors", model, optimizer, position, IDENTITY)
    other, other_optimizer = trained(kind, seed=1)
    assert load_state(tmp_path / "state.safetensors", other, other_optimizer, IDENTITY) == position
    for name, tensor in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)
    assert len(optimizer_tensors(optimizer)) > 3
    pairs = zip(optimizer_tensors(optimizer), optimizer_tensors(other_optimizer), strict=True)
    for (index, name, value), (other_index, other_name, other_value) in pairs:
        assert (index, name, value.stride()) == (other_index, other_name, other_value.stride())
        assert torch.equal(value, other_value)


def test_setting_that_is_newer_than_the_state_had_its_default(tmp_path: Path) -> None:
    model, optimizer = trained("sgd")
    path = tmp_path / "state.safetensors"
    save_state(path, model, optimizer, TrainingPosition(step=7), IDENTITY)
    newer = {**IDENTITY, "config": {**IDENTITY["config"], "background": "#ffffff"}}
    assert load_state(path, model, optimizer, newer).step == 7
    newer["config"] = {**newer["config"], "background": "#000000"}
    with pytest.raises(StateError, match="config.background was '#ffffff', is '#000000'"):
        load_state(path, model, optimizer, newer)


def test_file_is_readable_by_others_and_kept_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.safetensors"
    save_state(path, *trained("sgd"), TrainingPosition(step=1), IDENTITY)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_state(path, *trained("sgd"), TrainingPosition(step=2), IDENTITY)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        ({**IDENTITY, "config": {**IDENTITY["config"], "lr": 0.2}}, "config.lr was 0.1, is 0.2"),
        ({**IDENTITY, "data": {"dataset": "b"}}, "data.dataset was 'a', is 'b'"),
        ({**IDENTITY, "width": 3}, "width was None, is 3"),
    ],
)
def test_state_of_another_run_is_refused_with_the_differences(
    tmp_path: Path, identity: dict[str, Any], message: str
) -> None:
    save_state(tmp_path / "s", *trained("sgd"), TrainingPosition(), IDENTITY)
    model, optimizer = trained("sgd", seed=1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(StateError, match=message):
        load_state(tmp_path / "s", model, optimizer, identity)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_settings_of_the_machine_may_differ(tmp_path: Path) -> None:
    save_state(tmp_path / "s", *trained("sgd"), TrainingPosition(step=3), IDENTITY)
    elsewhere = {**IDENTITY, "config": {**IDENTITY["config"], "device": "cuda", "threads": 4}}
    assert load_state(tmp_path / "s", *trained("sgd"), elsewhere).step == 3


def test_weights_of_another_width_are_refused(tmp_path: Path) -> None:
    save_state(tmp_path / "s", *trained("sgd"), TrainingPosition(), IDENTITY)
    with pytest.raises(StateError, match="another model"):
        load_state(tmp_path / "s", *trained("sgd", width=8), IDENTITY)


def test_truncated_or_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s"
    save_state(path, *trained("sgd"), TrainingPosition(), IDENTITY)
    whole = path.read_bytes()
    for length in (0, 4, 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(StateError, match="truncated or damaged"):
            load_state(path, *trained("sgd"), IDENTITY)
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(StateError, match="no training state"):
        load_state(path, *trained("sgd"), IDENTITY)


def test_altered_state_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s"
    save_state(path, *trained("sgd"), TrainingPosition(step=3, log=[{"step": 3}]), IDENTITY)
    whole = bytearray(path.read_bytes())
    for position in (len(whole) - 5, len(whole) // 2, whole.index(b'\\"step\\": 3') + 11):
        altered = whole.copy()
        altered[position] ^= 1
        path.write_bytes(altered)
        model, optimizer = trained("sgd", seed=1)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        with pytest.raises(StateError, match="its digest differs|truncated or damaged"):
            load_state(path, model, optimizer, IDENTITY)
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    path.write_bytes(whole)
    assert load_state(path, *trained("sgd"), IDENTITY).step == 3


def test_weight_average_and_loss_scale_are_restored(tmp_path: Path) -> None:
    model, optimizer = trained("adamw")
    learner = nn.ModuleDict({"student": model})
    average, scaler = mean_of(learner), torch.amp.GradScaler("cpu", init_scale=128.0)
    average.update(1)
    scaler.scale(torch.ones(()))
    scaler.update(64.0)
    save_state(tmp_path / "s", learner, optimizer, TrainingPosition(), IDENTITY, average=average, scaler=scaler)
    other = nn.ModuleDict({"student": trained("adamw", seed=1)[0]})
    restored, restored_scaler = mean_of(other), torch.amp.GradScaler("cpu")
    load_state(tmp_path / "s", other, optimizer, IDENTITY, average=restored, scaler=restored_scaler)
    assert restored_scaler.get_scale() == 64.0
    assert restored.tensors.keys() == average.tensors.keys()
    for name, tensor in average.tensors.items():
        assert torch.equal(restored.tensors[name], tensor)
        assert restored.tensors[name].stride() == tensor.stride()
