"""The input of a student has the values of timm's transform, to the bit."""

import itertools
from typing import Any

import numpy as np
import pytest
from PIL import Image

from distill.config.image_size import ImageSize
from distill.data.decoded_images import squash
from limbeck.classify.preprocessing import ImageTransform
from tests.limbeck.shared.images.pictures import record_resizes
from tests.limbeck.small_bundle import PREPROCESS

SIZES = [(80, 50), (31, 77), (32, 32), (20, 20), (5, 90), (64, 48), (36, 36)]
MODES = {"RGB": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), "L": ((0.45,), (0.22,))}


def picture(size: tuple[int, int]) -> Image.Image:
    width, height = size
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "lanczos"])
@pytest.mark.parametrize("crop_mode", ["squash", "center", "border"])
def test_values_are_those_of_timm(crop_mode: str, interpolation: str, mode: str) -> None:
    from timm.data import create_transform

    mean, std = MODES[mode]
    for crop_pct, (height, width) in itertools.product((1.0, 0.9, 0.875), ((32, 32), (48, 32), (24, 40))):
        fields: dict[str, Any] = {"mean": mean, "std": std, "interpolation": interpolation, "crop_mode": crop_mode}
        fields["crop_pct"] = crop_pct
        in_timm = create_transform(input_size=(len(mean), height, width), **fields)
        transform = ImageTransform.from_json({**fields, "size": [height, width], "mode": mode})
        for size in SIZES:
            image = picture(size)
            np.testing.assert_array_equal(transform(image), in_timm(image.convert(mode)).numpy())


@pytest.mark.parametrize("size", [(3, 700), (700, 3), (1, 65), (65, 1), (90, 40)])
def test_pixels_of_long_images_are_those_of_evaluation(size: tuple[int, int]) -> None:
    squashed = squash(picture(size), ImageSize(36, 24))
    transform = ImageTransform.from_json({**PREPROCESS, "size": [36, 24], "mean": [0.0] * 3, "std": [1.0] * 3})
    np.testing.assert_array_equal(np.round(transform(picture(size)) * 255).transpose(1, 2, 0), squashed)


@pytest.mark.parametrize("size", [(1, 400_000), (400_000, 1)])
@pytest.mark.parametrize("crop_mode", ["squash", "center", "border"])
def test_extremely_long_images_are_resized_in_little_memory(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], crop_mode: str
) -> None:
    resized = record_resizes(monkeypatch)
    transform = ImageTransform.from_json({**PREPROCESS, "crop_mode": crop_mode})
    assert transform(Image.new("RGB", size)).shape == (3, 32, 32)
    assert resized
    assert max(resized) <= 1_000_000


@pytest.mark.parametrize(
    "change",
    [
        {"crop_mode": "stretch"},
        {"interpolation": "random"},
        {"mode": "L"},
        {"std": [0.5]},
        {"size": [32]},
        {"background": "clear"},
    ],
)
def test_unknown_preprocessing_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError)):
        ImageTransform.from_json({**PREPROCESS, **change})
