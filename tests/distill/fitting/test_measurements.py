"""What the choice of settings is made from: memory, size of the student, and rates of this machine."""

from pathlib import Path
from typing import Any

import pytest
import torch
from timm.models.resnet import ResNet
from torch import nn

from distill.config.automatic import DeviceFacts, fit_to_device
from distill.config.recipes import resolve_train_config
from distill.config.train_config import TrainConfig
from distill.fitting import rates, trial
from distill.fitting.device_facts import device_facts, free_memory, student_facts
from distill.fitting.rates import random_step_seconds

TINY: dict[str, Any] = {"student": "test_resnet", "image_px": 32, "batch_size": 4, "device": "cpu", "threads": 1}


def config(**settings: Any) -> TrainConfig:
    return resolve_train_config("limbeck", {**TINY, **settings}, num_images=40)


def test_memory_is_that_of_the_container(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable:  5000 kB\n")
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert free_memory(meminfo, tmp_path) == 5_120_000
    (tmp_path / "memory.max").write_text("3000000\n")
    assert free_memory(meminfo, tmp_path) == 2_000_000
    assert free_memory(tmp_path / "none", tmp_path / "none") == 4 * 2**30
    facts = device_facts(torch.device("cpu"))
    assert (facts.kind, facts.has_bfloat16) == ("cpu", False)
    assert facts.memory_bytes > 0


def test_outputs_of_a_layer_are_counted_by_the_size_of_the_image() -> None:
    small, large = (student_facts(config(image_px=px), width=8) for px in (32, 64))
    assert small.num_parameters == large.num_parameters > 100_000
    assert 3.5 * small.num_activations < large.num_activations < 4.5 * small.num_activations


def test_a_layer_that_looks_at_its_numbers_is_counted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = student_facts(config(), width=8)
    forward = ResNet.forward

    def looks(model: nn.Module, image: torch.Tensor) -> torch.Tensor:
        float(image.sum())  # fails without numbers
        features: torch.Tensor = forward(model, image)  # type: ignore[arg-type]
        return features

    monkeypatch.setattr(ResNet, "forward", looks)
    assert student_facts(config(), width=8) == expected


def test_a_small_memory_holds_a_small_batch() -> None:
    student = student_facts(config(batch_size=256), width=8)
    wanted = resolve_train_config("limbeck", {**TINY, "automatic": ["batch_size"], "batch_size": 256})
    sizes = [
        fit_to_device(wanted, DeviceFacts(kind="cuda", memory_bytes=mb * 10**6), student).schedule.batch_size
        for mb in (1, 40, 1000)
    ]
    assert sizes[0] == 8
    assert sizes[0] < sizes[1] < sizes[2] == 256


def test_a_step_has_no_more_images_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of 4,096 for 64 images would have made the estimate 64 times too long."""
    monkeypatch.setattr(rates, "_step_seconds", lambda probe, data, root: float(len(data.pixels)))
    assert random_step_seconds(config(batch_size=4096), width=8, step_images=64) == 64
    assert random_step_seconds(config(batch_size=16), width=8, step_images=64) == 16


@pytest.mark.slow
def test_a_measurement_leaves_no_trace(tiny_clip: Path) -> None:
    torch.manual_seed(3)
    assert random_step_seconds(config(average="mean", losses={"cap": 1}), width=8) > 0
    found = trial.try_training(config(automatic=["precision"]), f"local-dir:{tiny_clip.name}", tiny_clip.parent)
    assert 0 < float(str(found["view_s"])) < 60
    assert 0 < float(str(found["step_s"])) < 60
    assert found["chosen"]["precision"] == "float32"  # type: ignore[index,call-overload]
    unknown = trial.try_training(config(), "local-dir:nowhere", tiny_clip.parent)
    assert (unknown["view_s"], unknown["width"]) == (None, None)
    assert "error" in trial.try_training(config(model_args={"nothing": 1}), "local-dir:nowhere", tiny_clip.parent)
