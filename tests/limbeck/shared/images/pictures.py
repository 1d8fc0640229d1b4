"""Small pictures and their files, for tests of the decoder."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

_RANDOM = np.random.default_rng(0)
COLOURS = Image.fromarray(_RANDOM.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(
    (32, 24), Image.Resampling.BICUBIC
)
GREY = COLOURS.convert("L")
FADE = Image.linear_gradient("L").resize(COLOURS.size)
"""An alpha channel, from 0 at the top to 255 at the bottom."""


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    """The image as a file; `options` that the format does not have are left out."""
    if format not in ("JPEG", "WEBP", "AVIF", "HEIF"):
        options.pop("quality", None)
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def largest_difference(one: Image.Image, other: Image.Image) -> int:
    """The largest difference between the pixels of two RGB images of one size, in levels of 255."""
    first, second = np.asarray(one.convert("RGB"), np.int16), np.asarray(other.convert("RGB"), np.int16)
    assert first.shape == second.shape
    return int(np.abs(first - second).max())


def on_colour(colours: Image.Image, alpha: Image.Image, background: str) -> Image.Image:
    """The colours (RGB) with this alpha channel over a background."""
    canvas = Image.new("RGB", colours.size, background)
    canvas.paste(colours, mask=alpha)
    return canvas


def record_resizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that gets the number of pixels that each later resize of an image holds at most, beside the image."""
    sizes: list[int] = []
    resize = Image.Image.resize

    def recorded(image: Image.Image, to: tuple[int, int], *args: Any, **options: Any) -> Image.Image:
        # Pillow resizes rows before columns: between the passes it holds the new width and the old height.
        sizes.append(to[0] * max(to[1], image.height))
        return resize(image, to, *args, **options)

    monkeypatch.setattr(Image.Image, "resize", recorded)
    return sizes
