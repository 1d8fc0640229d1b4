"""Set-up of a run: which errors stop it before its first step, and that a resumed run compiles as it did at first."""

import dataclasses
from pathlib import Path

import pytest

from distill.student.model import StudentError
from distill.training.loop import train
from distill.training.training_state import StateError
from tests.distill.helpers_train import SavedStates, run, small_config, small_data


def test_resumed_run_is_compiled_like_the_first_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    num_steps: list[int] = []
    monkeypatch.setattr(
        "distill.training.setup.should_compile", lambda _config, _device, steps: bool(num_steps.append(steps))
    )
    saves = SavedStates(tmp_path)
    run(small_config(), stop_at=2, save=saves)
    run(small_config(), save=saves, resume=saves.paths[-1])
    first, resumed = num_steps
    assert resumed == first


def test_state_of_another_run_is_refused(tmp_path: Path) -> None:
    saves = SavedStates(tmp_path)
    run(small_config(), stop_at=1, save=saves)
    with pytest.raises(StateError, match="config.student was 'test_resnet', is 'test_vit'"):
        run(small_config(student="test_vit"), resume=saves.paths[-1])
    data = dataclasses.replace(small_data(), digests={"dataset": "d1", "texts": "t0"})
    with pytest.raises(StateError, match="data.dataset was 'd0', is 'd1'"):
        run(small_config(), resume=saves.paths[-1], data=data)


def test_unsupported_image_size_is_refused() -> None:
    with pytest.raises(StudentError, match="24 px"):
        train(small_config(student="edgenext_xx_small", image_px=24), small_data())
