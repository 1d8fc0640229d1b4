"""`image/` of a bundle in the transformers library, which is no dependency and is installed for this test."""

import json
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from PIL import Image

from tests.distill.bundle.bundles import student_weights
from tests.distill.bundle.card.test_usage import outputs
from tests.distill.bundle.cards import programs


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Python of an environment with transformers and the packages of this one."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    own = sysconfig.get_path("purelib", vars={"base": str(folder)})
    Path(own, "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
    found = str(folder / "bin" / "python")
    subprocess.run([found, "-m", "pip", "install", "--quiet", "transformers>=5,<6"], check=True)
    return found


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("name", "image_px", "crop_pct", "model_args"),
    [
        ("resnet10t", 64, 1.0, {}),
        ("resnet10t", 56, 0.875, {}),
        ("test_resnet", (64, 40), 1.0, {}),
        ("test_vit", 64, 1.0, {"img_size": 64}),
        ("mobilenetv4_conv_small_035", 64, 1.0, {}),
    ],
)
def test_transformers_computes_the_same_embedding(
    tmp_path: Path,
    write: Callable[..., Any],
    python: str,
    name: str,
    image_px: int | tuple[int, int],
    crop_pct: float,
    model_args: dict[str, Any],
) -> None:
    out = tmp_path / "bundle"
    write(out, student_weights(name, image_px, crop_pct=crop_pct, **model_args), left_out={"plots": "", "pairing": ""})
    picture = Image.effect_noise((90, 70), 80).convert("RGB")
    picture.save(out / "photo.jpg", "PNG")
    code = programs((out / "README.md").read_text())["transformers"]
    found = torch.tensor(json.loads(outputs({"transformers": code}, out, python)["transformers"]))
    timm_data: Any = timm.data
    model = timm.create_model(f"local-dir:{out / 'image'}", pretrained=True).eval()
    transform = timm_data.create_transform(**timm_data.resolve_model_data_config(model))
    with torch.inference_mode():
        expected = model(transform(picture)[None])[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
