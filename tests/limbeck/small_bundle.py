"""A bundle made with timm's smallest model, for tests of classification."""

import json
from pathlib import Path

import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.models._hub import save_config_for_hf

PX, WIDTH = 32, 8


LABELS: list[dict[str, str | None]] = [
    {"label": "red thing", "part": "id"},
    {"label": "blue thing", "part": "ood"},
    {"label": "odd thing", "part": None},
]


def pixels(path: Path) -> torch.Tensor:
    """The bundle's preprocessing: squashed to PX, scaled to 0..1, mean 0.5 and std 0.25; (1, 3, PX, PX)."""
    with Image.open(path) as image:
        small = image.convert("RGB").resize((PX, PX), Image.Resampling.BICUBIC)
    raw = torch.frombuffer(bytearray(small.tobytes()), dtype=torch.uint8).view(PX, PX, 3)
    return (raw.permute(2, 0, 1)[None].float() / 255 - 0.5) / 0.25


def write_bundle(folder: Path, red: Path, blue: Path) -> None:
    """Write a student whose targets are its own features of the two images, so that the correct labels are known."""
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=WIDTH).eval()
    (folder / "image").mkdir(parents=True)
    (folder / "targets").mkdir()
    save_file(model.state_dict(), folder / "image" / "model.safetensors")
    data = {
        "input_size": (3, PX, PX),
        "mean": (0.5,) * 3,
        "std": (0.25,) * 3,
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "crop_mode": "squash",
    }
    save_config_for_hf(model, str(folder / "image" / "config.json"), data_config=data)
    with torch.inference_mode():
        features = [torch.nn.functional.normalize(model(pixels(path)), dim=-1)[0] for path in (red, blue)]
    save_file({"features": torch.stack([*features, -features[0]])}, folder / "targets" / "text_targets.safetensors")
    (folder / "targets" / "labels.json").write_text(json.dumps({"labels": LABELS}))
    (folder / "manifest.json").write_text(json.dumps({"made_from": {"config": {"temperature": 0.1}}}))
