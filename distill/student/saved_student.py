"""Trained students in files: the weights with their description between two parts of a job, and those of a bundle."""

import json
from pathlib import Path

import timm
from safetensors import safe_open
from safetensors.torch import load_file
from timm.models._hub import load_model_config_from_path

from distill.bundle.student_files import save_weights
from distill.config.image_size import ImageSize
from distill.config.train_config import StudentConfig
from distill.student.initial_weights import StudentError
from distill.student.model import Student, configured_student
from limbeck.shared.images.background import WHITE

_KEY = "student"  # in the metadata of the file


def save_student(student: Student, path: Path) -> None:
    """Write the weights to a safetensors file, with everything that `load_student` needs to rebuild the student."""
    description = {
        "name": student.name,
        "width": student.width,
        "size": list(student.size),
        "mean": list(student.mean),
        "std": list(student.std),
        "model_args": student.model_args,
        "test_crop": student.test_crop,
        "interpolation": student.interpolation,
        "background": student.background,
        "initial": student.initial,
    }
    save_weights(path, student.model.state_dict(), {_KEY: json.dumps(description)})


def load_student(
    path: Path, config: StudentConfig, *, width: int, seed: int, root: Path | None = None, background: str = WHITE
) -> Student:
    """The student of a file of `save_student`, in training mode on the CPU.

    The other arguments rebuild a student whose file an earlier release wrote, without its description.
    """
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    if _KEY not in metadata:
        student = configured_student(config, width=width, seed=seed, root=root, initialise=False, background=background)
    else:
        described = json.loads(metadata[_KEY])
        model = timm.create_model(described["name"], num_classes=described["width"], **described["model_args"])
        student = Student(
            name=described["name"],
            width=described["width"],
            size=ImageSize(*described["size"]),
            mean=tuple(described["mean"]),
            std=tuple(described["std"]),
            model=model,
            model_args=described["model_args"],
            test_crop=described["test_crop"],
            interpolation=described.get("interpolation", "bicubic"),
            background=described["background"],
            initial=described["initial"],
        )
    student.model.load_state_dict(load_file(path))
    return student


def load_bundled_student(folder: Path, background: str = WHITE) -> Student:
    """The student of the folder `image/` of a bundle, in evaluation mode on the CPU. Raises StudentError.

    `background`: as the manifest of the bundle states.
    """
    try:
        cfg, name, model_args = load_model_config_from_path(folder)
        model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
        return Student(
            name=name,
            width=cfg["num_classes"],
            size=ImageSize(*cfg["input_size"][1:]),
            mean=tuple(cfg["mean"]),
            std=tuple(cfg["std"]),
            model=model,
            model_args=model_args,
            test_crop=cfg["crop_pct"],
            interpolation=cfg["interpolation"],
            background=background,
        )
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise StudentError(f"{folder} holds no student of a bundle: {type(error).__name__}") from error
