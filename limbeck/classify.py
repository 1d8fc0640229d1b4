"""A downloaded student at work: timm, safetensors and a bundle's `image/` and `targets/`, and nothing else of ours.

    student = load_student(Path("student"))
    student.classify(Path("picture.jpg"), top=3)      # [("crested auklet", 0.61), …]

A score is the softmax over the labels chosen from, at the temperature that the student was trained with. K labels,
D embedding width.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file

TEMPERATURE = 0.07
"""Where a bundle does not say its own: the paper's."""


class BundleError(ValueError):
    """A folder that holds no bundle, or not the parts that are needed."""


class PictureError(ValueError):
    """A picture that cannot be read."""


@dataclass(frozen=True, eq=False)
class LoadedStudent:
    """A student ready to look. `targets`: (K, D) float32, L2-normalised, of `labels`."""

    model: torch.nn.Module
    transform: Any
    targets: torch.Tensor
    labels: tuple[str, ...]
    temperature: float

    @torch.inference_mode()
    def classify(self, path: Path, *, top: int = 3) -> list[tuple[str, float]]:
        """The `top` likeliest labels with their scores, best first. Raises PictureError."""
        try:
            with Image.open(path) as picture:
                pixels = self.transform(picture.convert("RGB"))[None]  # (1, 3, H, W)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise PictureError(f"{path}: {error}") from None
        feature = torch.nn.functional.normalize(self.model(pixels), dim=-1)
        scores = (feature @ self.targets.T / self.temperature).softmax(dim=-1)[0]  # (K,)
        best = scores.topk(min(top, len(self.labels)))
        return [(self.labels[at], float(score)) for score, at in zip(best.values, best.indices.tolist(), strict=True)]


def load_student(folder: Path, *, among: str = "all") -> LoadedStudent:
    """The student of a bundle, with the labels to choose from: `all`, those `seen` in training, or `unseen` ones.

    Raises BundleError.
    """
    try:
        listed = json.loads((folder / "targets" / "labels.json").read_text(encoding="utf-8"))["labels"]
        targets = load_file(folder / "targets" / "text_targets.safetensors")["features"]
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        model = timm.create_model(f"local-dir:{folder / 'image'}", pretrained=True).eval()
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise BundleError(f"{folder} is no downloaded student (image/ and targets/ are needed): {error}") from None
    wanted = {"all": ("id", "ood", None), "seen": ("id",), "unseen": ("ood",)}[among]
    chosen = [at for at, entry in enumerate(listed) if entry.get("part") in wanted]
    if not chosen:
        raise BundleError(f"{folder} has no {among} labels")
    timm_data: Any = timm.data
    transform = timm_data.create_transform(**timm_data.resolve_model_data_config(model))
    return LoadedStudent(
        model,
        transform,
        targets[chosen].float(),
        tuple(str(listed[at]["label"]) for at in chosen),
        _temperature(manifest),
    )


def _temperature(manifest: dict[str, Any]) -> float:
    config = manifest.get("made_from", {}).get("config", {})
    objective = config.get("objective", config)  # bundles written before the config had sections
    return float(objective.get("temperature", TEMPERATURE))
