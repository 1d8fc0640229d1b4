"""Classify images with a downloaded student. Needs timm, safetensors and the bundle's `image/` and `targets/` folders.

    student = load_student(Path("student"))
    student.classify(Path("picture.jpg"), top=3)      # [("crested auklet", 0.61), …]

An image file of any kind that training reads is decoded as in training, on the background that the bundle states
(`limbeck.shared.images.decode`). A score is the softmax over the candidate labels at the student's training
temperature. K labels, D embedding width.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import timm
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file

from limbeck.shared.images.background import WHITE, hex_colour
from limbeck.shared.images.decode import open_rgb
from limbeck.shared.images.extreme_shapes import central_part, shortened
from limbeck.shared.images.unreadable import UnreadableImage
from limbeck.shared.text import first_line

TEMPERATURE = 0.07
"""The temperature of a bundle that does not give one: the paper's."""


class BundleError(ValueError):
    """A folder without a bundle, or a bundle without a required part."""


class ImageError(ValueError):
    """An image file that cannot be read."""


@dataclass(frozen=True, eq=False)
class LoadedStudent:
    """A student ready for inference. `targets` are the text targets of `labels`: (K, D) float32, L2-normalised.

    `transform`: from an RGB image to the model's input (C, H, W). `background`: colour (`#rrggbb`) that transparent
    parts of images show.
    """

    model: torch.nn.Module
    transform: Callable[[Image.Image], torch.Tensor]
    targets: torch.Tensor
    labels: tuple[str, ...]
    temperature: float
    background: str = WHITE

    @torch.inference_mode()
    def classify(self, path: Path, *, top: int = 3) -> list[tuple[str, float]]:
        """The `top` labels with the highest scores (0..1), best first. Raises ImageError."""
        if path.exists() and not path.is_file() and not path.is_dir():
            raise ImageError(f"{path}: a pipe, socket or device is not an image")  # reading it might never end
        try:
            image = open_rgb(path.read_bytes(), self.background)
        except OSError as error:
            raise ImageError(f"{path}: {error.strerror}") from None
        except UnreadableImage as error:
            raise ImageError(f"{path}: {error}") from None
        pixels = self.transform(image)[None]  # (1, C, H, W)
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
            f"{folder} is not a downloaded student: {first_line(error)}; image/ and targets/ are required"
        ) from None
    parts = {"all": ("id", "ood", None), "seen": ("id",), "unseen": ("ood",)}[among]
    chosen = [index for index, entry in enumerate(entries) if entry.get("part") in parts]
    if not chosen:
        raise BundleError(f"{folder} has no {among} labels")
    return LoadedStudent(
        model,
        _transform(model),
        targets[chosen].float(),
        tuple(str(entries[index]["label"]) for index in chosen),
        _temperature(manifest),
        _background(manifest, folder),
    )


def _transform(model: torch.nn.Module) -> Callable[[Image.Image], torch.Tensor]:
    """The transform of RGB images that the bundle's config states, with extremely long images reduced first."""
    timm_data: Any = timm.data  # it does not export these names to type checkers
    config = timm_data.resolve_model_data_config(model)
    of_image: Callable[[Image.Image], torch.Tensor] = timm_data.create_transform(**config)
    mode = "L" if config["input_size"][0] == 1 else "RGB"
    if config["crop_mode"] == "squash":
        height_px = math.ceil(config["input_size"][1] / config["crop_pct"])
        return lambda image: of_image(shortened(image, height_px).convert(mode))
    return lambda image: of_image(central_part(image).convert(mode))


class _TrainConfig(TypedDict, total=False):
    """The config in a manifest. Older bundles have a config without sections."""

    objective: "_TrainConfig"
    temperature: float


class _MadeFrom(TypedDict, total=False):
    config: _TrainConfig


class _Preprocess(TypedDict, total=False):
    background: str


class _ManifestStudent(TypedDict, total=False):
    preprocess: _Preprocess


class _Manifest(TypedDict, total=False):
    """The part of a bundle's manifest that is read."""

    student: _ManifestStudent
    made_from: _MadeFrom


def _temperature(manifest: _Manifest) -> float:
    config = manifest.get("made_from", {}).get("config", {})
    objective = config.get("objective", config)
    return float(objective.get("temperature", TEMPERATURE))


def _background(manifest: _Manifest, folder: Path) -> str:
    """The background of the bundle; white for a bundle of an earlier release, which states none."""
    try:
        return hex_colour(str(manifest.get("student", {}).get("preprocess", {}).get("background", WHITE)))
    except ValueError as error:
        raise BundleError(f"{folder} states a background that is none: {error}") from None
