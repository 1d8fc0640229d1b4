"""Device: when a model is compiled."""

import pytest
import torch

from distill.training.device import should_compile
from tests.distill.helpers_train import small_config


@pytest.mark.parametrize(
    ("compiler", "device", "setting", "steps", "compiled"),
    [
        ("gcc", "cuda", "auto", 2_000, True),  # Triton needs a C compiler only
        ("g++", "cuda", "auto", 2_000, False),
        ("gcc", "cuda", "auto", 1_999, False),
        ("g++", "cpu", "auto", 10_000, True),  # batches of 8 images of 224 pixels
        ("g++", "cpu", "auto", 9_000, False),
        ("gcc", "cpu", "auto", 10_000, False),
        ("", "cuda", "auto", 2_000, False),
        ("", "cpu", "on", 1, True),
        ("g++", "cpu", "off", 10_000, False),
    ],
)
def test_long_runs_are_compiled_if_that_saves_time(
    monkeypatch: pytest.MonkeyPatch, compiler: str, device: str, setting: str, steps: int, compiled: bool
) -> None:
    monkeypatch.setattr("shutil.which", lambda program: program if program == compiler else None)
    config = small_config(compile=setting, batch_size=8, image_px=224)
    assert should_compile(config, torch.device(device), steps) == compiled
