"""A run with a time budget: it chooses once, trains like a run with these settings, and resumes without measuring."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from distill.cli.console import Console
from distill.cli.train_process import main
from distill.config.time_budget import Rates
from distill.fitting import choice
from distill.training.metrics import StepMetrics


@pytest.fixture
def budget(command: list[str]) -> list[str]:
    """The command with a time budget in place of its epochs, and the recipe for photographs."""
    without = [word for at, word in enumerate(command) if "epochs=2" not in command[at : at + 2]]
    return ["limbeck" if word == "limbeck-small" else word for word in without]


def weights(out: Path) -> bytes:
    return (out / "bundle" / "image" / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_a_budget_is_measured_once(
    budget: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [*budget, "--cache", str(tmp_path / "cache"), "--set", "time_budget_s=1000"]
    # The first rates leave time for 8 epochs; the first steps are slower, so that 2 fit, which see 2 of the 4 views of
    # the 12 images.
    monkeypatch.setattr(choice, "first_rates", lambda *_: Rates(decode_s=0, view_s=1, step_s=35))
    monkeypatch.setattr(choice, "step_seconds", lambda *_: 120)
    steps: list[StepMetrics] = []

    def step(_console: Console, metrics: StepMetrics) -> None:
        steps.append(metrics)
        if metrics.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Console, "step", step)
    assert main(command) == 130
    printed = capsys.readouterr().err
    assert "time budget 17 min: 8 epochs, 4 teacher views of each image, about 15 min, because 0.1 images/s" in printed
    assert "time budget 17 min: 2 epochs, 6 steps in about 12 min with 24 s for teacher views, because " in printed

    def measured(*_: Any) -> None:
        raise AssertionError("a run that resumes measures nothing")

    monkeypatch.setattr(choice, "first_rates", measured)
    monkeypatch.setattr(choice, "step_seconds", measured)
    assert main(command) == 0
    assert "resumes with the settings of its training state: epochs 2, num_views 4, " in capsys.readouterr().err
    assert [one.step for one in steps] == [1, 2, 3, 4, 5, 6]
    manifest = json.loads((tmp_path / "out" / "bundle" / "manifest.json").read_text())
    recorded = json.dumps(manifest)
    assert '"epochs": 2' in recorded
    assert '"time_budget_s": 1000.0' in recorded

    explicit = [*budget, "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "explicit")]
    monkeypatch.setattr(Console, "step", lambda _console, _metrics: None)
    assert main([*explicit, "--set", "epochs=2", "--set", "num_views=4"]) == 0
    assert weights(tmp_path / "explicit") == weights(tmp_path / "out")


def test_a_budget_for_less_than_one_epoch_is_refused(
    budget: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "first_rates", lambda *_: Rates(decode_s=0, view_s=1, step_s=30))
    assert main([*budget, "--set", "time_budget_s=50"]) == 2
    assert "a time budget of 50 s is too short for one epoch" in capsys.readouterr().err
    assert main([*budget, "--set", "time_budget_s=50", "--set", "epochs=3"]) == 2
    assert "time_budget_s: epochs and time_budget_s both set the length" in capsys.readouterr().err
