"""Classify images with a downloaded student. Needs timm, safetensors and the bundle's `image/` and `targets/` folders.

    student = load_student(Path("student"))
    student.classify(Path("picture.jpg"), top=3)      # [("crested auklet", 0.61), …]

A score is the softmax over the candidate labels at the student's training temperature. K labels, D embedding width.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import timm
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file

TEMPERATURE = 0.07
"""The temperature of a bundle that does not give one: the paper's."""


class BundleError(ValueError):
    """A folder without a bundle, or a bundle without a required part."""


class ImageError(ValueError):
    """An image file that cannot be read."""


@dataclass(frozen=True, eq=False)
class LoadedStudent:
    """A student ready for inference. `targets` are the text targets of `labels`: (K, D) float32, L2-normalised.

    `mode`: Pillow's, of the images that the student takes.
    """

    model: torch.nn.Module
    transform: Callable[[Image.Image], torch.Tensor]
    targets: torch.Tensor
    labels: tuple[str, ...]
    temperature: float
    mode: str = "RGB"

    @torch.inference_mode()
    def classify(self, path: Path, *, top: int = 3) -> list[tuple[str, float]]:
        """The `top` labels with the highest scores (0..1), best first. Raises ImageError."""
        try:
            with Image.open(path) as image:
                pixels = self.transform(image.convert(self.mode))[None]  # (1, C, H, W)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise ImageError(f"{path}: {error}") from None
        feature = torch.nn.functional.normalize(self.model(pixels), dim=-1)
        scores = (feature @ self.targets.T / self.temperature).softmax(dim=-1)[0]  # (K,)
        best = scores.topk(min(top, len(self.labels)))
        return [
            (self.labels[index], float(score)) for score, index in zip(best.values, best.indices.tolist(), strict=True)
        ]


def load_student(folder: Path, *, among: str = "all") -> LoadedStudent:
    """Load the student of a bundle. `among` selects the candidate labels: `all`, `seen` in training, or `unseen`.

    Raises BundleError.
    """
    try:
        entries = json.loads((folder / "targets" / "labels.json").read_text(encoding="utf-8"))["labels"]
        targets = load_file(folder / "targets" / "text_targets.safetensors")["features"]
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        model = timm.create_model(f"local-dir:{folder / 'image'}", pretrained=True).eval()
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise BundleError(
            f"{folder} is not a downloaded student: {_first_line(error)}; image/ and targets/ are required"
        ) from None
    parts = {"all": ("id", "ood", None), "seen": ("id",), "unseen": ("ood",)}[among]
    chosen = [index for index, entry in enumerate(entries) if entry.get("part") in parts]
    if not chosen:
        raise BundleError(f"{folder} has no {among} labels")
    timm_data: Any = timm.data  # it does not export these names to type checkers
    data_config = timm_data.resolve_model_data_config(model)
    transform = timm_data.create_transform(**data_config)
    return LoadedStudent(
        model,
        transform,
        targets[chosen].float(),
        tuple(str(entries[index]["label"]) for index in chosen),
        _temperature(manifest),
        "L" if data_config["input_size"][0] == 1 else "RGB",
    )


def _first_line(error: Exception) -> str:
    """torch's errors list every tensor on lines of their own."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class _TrainConfig(TypedDict, total=False):
    """The config in a manifest. Older bundles have a config without sections."""

    objective: "_TrainConfig"
    temperature: float


class _MadeFrom(TypedDict, total=False):
    config: _TrainConfig


class _Manifest(TypedDict, total=False):
    """The part of a bundle's manifest that is read."""

    made_from: _MadeFrom


def _temperature(manifest: _Manifest) -> float:
    config = manifest.get("made_from", {}).get("config", {})
    objective = config.get("objective", config)
    return float(objective.get("temperature", TEMPERATURE))
