"""A student with random weights, and what else a bundle holds, for tests that write one."""

from typing import Any

import timm
import torch

from distill.bundle.student_files import StudentWeights
from tests.distill.conftest import WIDTH

NASTY = "crane | <img src=x onerror=alert(1)> ```$x_1$``` [click](javascript:alert(1))\n# heading"
BACKGROUND = "#30a0f0"
LABELS = [
    {"label": "grey crane", "sense": None, "part": "id", "sentence": "A tall grey bird.", "phrases": ["a red cap"]},
    {"label": NASTY, "sense": "machine", "part": "ood", "sentence": "<script>", "phrases": []},
]
EVALUATION = {
    "text": "sentence",
    "id": {"accuracy": 0.75, "chance": 1.0, "num_labels": 1, "num_images": 4, "per_label": {"grey crane": 0.75}},
    "ood": {"accuracy": 0.5, "chance": 1.0, "num_labels": 1, "num_images": 2, "per_label": {NASTY: 0.5}},
}
PROVENANCE = {"vocabulary": "a" * 64, "attribute_set": "b" * 64, "dataset": {"digest": "c" * 64, "images": 6}}


def student_weights(
    name: str, image_px: int | tuple[int, int], *, crop_pct: float = 1.0, **model_args: Any
) -> StudentWeights:
    """A student with random weights and random batch norm statistics, whose loss would change the features."""
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=WIDTH, **model_args)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    preprocess = {
        "size": [image_px, image_px] if isinstance(image_px, int) else list(image_px),
        "mean": [0.4, 0.5, 0.6],
        "std": [0.2, 0.3, 0.25],
        "interpolation": "bicubic",
        "resize_mode": "squash",
        "crop_pct": crop_pct,
        "background": BACKGROUND,
        "decoder": "limbeck decoder 2",
    }
    return StudentWeights(
        name=name, width=WIDTH, state=model.state_dict(), preprocess=preprocess, model_args=model_args
    )


def expected_features(student: StudentWeights, noise: torch.Tensor) -> torch.Tensor:
    model = timm.create_model(student.name, num_classes=student.width, **student.model_args)
    model.load_state_dict(dict(student.state))
    with torch.no_grad():
        features: torch.Tensor = model.eval()(noise)
    return features
