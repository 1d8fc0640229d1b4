"""An RGB image as the input of a student, in numpy and Pillow: the values of timm's transform, to the bit.

    transform = ImageTransform.from_json(config["preprocess"])
    pixels = transform(image)                                  # (C, H, W) float32

Extremely long images are reduced first, as in training (`limbeck.shared.images.extreme_shapes`); timm would need
gigabytes for them. C channels: 3, or 1 for grey; H and W height and width of the input in pixels.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from limbeck.shared.images.background import WHITE, hex_colour
from limbeck.shared.images.extreme_shapes import MAX_ASPECT, central_part, shortened

CropMode = Literal["squash", "center", "border"]
Floats = npt.NDArray[np.float32]

_INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True)
class ImageTransform:
    """The preprocessing of a student, with the meaning that timm gives it.

    `height`, `width`: of the input in pixels. `mean`, `std`: of values in 0..1, one for each channel. `crop_pct`: the
    input as a share of the resized image. `crop_mode`: how the image gets the aspect ratio of the input: `squash`ed,
    cropped at its `center`, or with a `border`. `background`: colour (`#rrggbb`) that transparent parts show.
    """

    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Image.Resampling = Image.Resampling.BICUBIC
    crop_pct: float = 1.0
    crop_mode: CropMode = "squash"
    background: str = WHITE

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "ImageTransform":
        """The `preprocess` of a bundle's `onnx/config.json`. Raises ValueError, KeyError or TypeError."""
        height, width = fields["size"]
        mean, std = tuple(map(float, fields["mean"])), tuple(map(float, fields["std"]))
        if fields["crop_mode"] not in get_args(CropMode):
            raise ValueError(f"unknown crop_mode {fields['crop_mode']!r}")
        if not (len(mean) == len(std) == (1 if fields["mode"] == "L" else 3)):
            raise ValueError(f"mean and std do not fit the mode {fields['mode']!r}")
        return cls(
            int(height),
            int(width),
            mean,
            std,
            _INTERPOLATIONS[fields["interpolation"]],
            float(fields["crop_pct"]),
            fields["crop_mode"],
            hex_colour(str(fields.get("background", WHITE))),
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the input."""
        return len(self.mean), self.height, self.width

    def __call__(self, image: Image.Image) -> Floats:
        """The input (C, H, W) for an RGB image."""
        cropped = self._cropped(image)
        pixels = np.asarray(cropped).reshape(self.height, self.width, len(self.mean))
        return np.stack([values[pixels[..., channel]] for channel, values in enumerate(self._values)])

    @cached_property
    def _values(self) -> Floats:
        """(C, 256): the value of each byte in each channel."""
        byte = np.arange(256, dtype=np.float32) / np.float32(255)
        mean, std = np.array(self.mean, np.float32)[:, None], np.array(self.std, np.float32)[:, None]
        values: Floats = (byte - mean) / std
        return values

    def _cropped(self, image: Image.Image) -> Image.Image:
        """The image at the size of the input, in the student's mode."""
        height, width = math.floor(self.height / self.crop_pct), math.floor(self.width / self.crop_pct)
        mode = "L" if len(self.mean) == 1 else "RGB"
        if self.crop_mode == "squash":
            image = shortened(image, height)
            resized = image.convert(mode).resize((width, height), self.interpolation)
        else:
            # The shorter side of a part as long as the resized image is wide still has a pixel.
            longest = MAX_ASPECT if self.crop_mode == "center" else min(MAX_ASPECT, height, width)
            image = central_part(image, longest).convert(mode)
            resized = image.resize(self._kept_ratio(image.size, height, width), self.interpolation)
        return self._centre(resized)

    def _kept_ratio(self, size: tuple[int, int], height: int, width: int) -> tuple[int, int]:
        """(width, height) of an image of `size` that is resized to cover `height` and `width`, or to fit into them."""
        old_width, old_height = size
        if self.crop_mode == "center" and height == width:
            shorter, longer = sorted(size)
            longest = int(height * longer / shorter)
            return (height, longest) if old_width <= old_height else (longest, height)
        ratios = old_height / height, old_width / width
        ratio = max(ratios) if self.crop_mode == "border" else min(ratios)
        return round(old_width / ratio), round(old_height / ratio)

    def _centre(self, image: Image.Image) -> Image.Image:
        """The centre of an image at the size of the input; what lies outside of the image is the mean or black."""
        missing_x, missing_y = max(0, self.width - image.width), max(0, self.height - image.height)
        if missing_x or missing_y:
            fill = tuple(round(255 * value) for value in self.mean) if self.crop_mode == "border" else (0,) * 3
            colour: Any = fill if image.mode == "RGB" else fill[0]
            before = missing_x // 2, missing_y // 2
            after = (missing_x + 1) // 2, (missing_y + 1) // 2
            image = ImageOps.expand(image, (*before, *after), fill=colour)
        left, top = round((image.width - self.width) / 2), round((image.height - self.height) / 2)
        return image.crop((left, top, left + self.width, top + self.height))
