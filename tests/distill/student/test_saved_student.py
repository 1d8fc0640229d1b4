"""Students between two parts of a job, and those of bundles, are rebuilt from their files."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from timm.models._hub import save_for_hf

from distill.config.train_config import StudentConfig
from distill.student.initial_weights import StudentError
from distill.student.model import build_student
from distill.student.saved_student import load_bundled_student, load_student, save_student

OTHER = StudentConfig(architecture="test_resnet", image_px=32)


def features(model: torch.nn.Module, *shape: int) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(torch.randn(2, *shape, generator=torch.Generator().manual_seed(0)))
    return found


def test_saved_student_needs_no_config(tmp_path: Path) -> None:
    built = build_student(
        "test_vit", width=5, image_px=(64, 48), seed=1, in_chans=1, model_args={"init_values": 0.1}, test_crop=0.9
    )
    student = replace(built, initial={"source": "timm/test_vit.r160_in1k", "license": None}, mean=(0.3,))
    save_student(student, tmp_path / "student.safetensors")
    loaded = load_student(tmp_path / "student.safetensors", OTHER, width=9, seed=2)
    assert torch.equal(features(loaded.model, 1, 64, 48), features(student.model, 1, 64, 48))
    assert (loaded.preprocess(), loaded.initial) == (student.preprocess(), student.initial)
    assert (loaded.name, loaded.width, loaded.model_args) == ("test_vit", 5, student.model_args)


def test_student_saved_without_a_description_is_rebuilt_from_the_config(tmp_path: Path) -> None:
    student = build_student("test_resnet", width=5, image_px=32, seed=1)
    save_file(student.model.state_dict(), tmp_path / "student.safetensors")
    loaded = load_student(tmp_path / "student.safetensors", OTHER, width=5, seed=2)
    assert torch.equal(features(loaded.model, 3, 32, 32), features(student.model, 3, 32, 32))


def test_student_of_a_bundle_is_read_from_its_folder(tmp_path: Path) -> None:
    student = build_student("test_resnet", width=5, image_px=(32, 48), seed=1)
    data = {"input_size": (3, 32, 48), "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), "crop_pct": 0.9}
    save_for_hf(student.model, str(tmp_path / "image"), safe_serialization=True, data_config=data)
    loaded = load_bundled_student(tmp_path / "image")
    assert (loaded.size, loaded.mean, loaded.test_crop) == ((32, 48), (0.1, 0.2, 0.3), 0.9)
    assert torch.equal(features(loaded.model, 3, 32, 48), features(student.model, 3, 32, 48))
    (tmp_path / "image" / "config.json").write_text("{}")
    with pytest.raises(StudentError, match="holds no student of a bundle: KeyError"):
        load_bundled_student(tmp_path / "image")
