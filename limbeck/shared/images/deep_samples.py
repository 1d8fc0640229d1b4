"""Greyscale images with more than 8 bits per pixel (Pillow's modes I;16, I and F), scaled to 8 bits.

PNG and JPEG 2000 define the range: 0 to 65535. TIFF does not, and cameras and microscopes store 12-bit values in
16 bits, which would be black. The range of a TIFF, and of every 32-bit and float image, is therefore the first of these
that holds all values: 0..1; if all are integers 0..255, 0..4095 (12 bits), 0..65535; else the image's own minimum and
maximum. NaN is black, infinity the end of the range on its side.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from limbeck.shared.images.unreadable import UnreadableImage

_INTEGER_TOPS = (255, 4095, 65535)

Samples = npt.NDArray[Any]


def is_deep(image: Image.Image) -> bool:
    """Whether Pillow's own conversion to 8 bits would clip the values instead of scaling them."""
    return image.mode == "F" or image.mode == "I" or image.mode.startswith("I;16")


def grey_8_bit(
    image: Image.Image, *, full_range: bool, is_unsigned: bool = False, is_inverted: bool = False
) -> Image.Image:
    """A deep image as mode L. Raises UnreadableImage if no value is finite.

    `full_range`: 16-bit values are of 0..65535, whatever the largest is. `is_unsigned`: 32-bit integers have no sign.
    `is_inverted`: 0 is white.
    """
    values = np.asarray(image)
    if is_unsigned and values.dtype == np.int32:
        values = values.view(np.uint32)
    low, high = (0.0, 65535.0) if full_range and values.dtype.itemsize == 2 else sample_range(values)
    kind = np.float64 if values.dtype.itemsize == 4 and values.dtype.kind != "f" else np.float32
    scaled = values.astype(kind)
    scaled = np.nan_to_num(scaled, copy=False, nan=low, posinf=high, neginf=low)
    scaled -= low
    scaled *= 255 / (high - low) if high > low else 0
    grey = np.rint(scaled, out=scaled).clip(0, 255).astype(np.uint8)
    return Image.fromarray(255 - grey if is_inverted else grey)


def sample_range(values: Samples) -> tuple[float, float]:
    """The values (lowest, highest) that are shown black and white. Raises UnreadableImage if no value is finite."""
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
        if not values.size:
            raise UnreadableImage("none of its values is a finite number")
    low, high = float(values.min()), float(values.max())
    if low < 0:
        return low, high
    if high <= 1:
        return 0.0, 1.0
    if values.dtype.kind != "f" or bool((values == np.rint(values)).all()):
        for top in _INTEGER_TOPS:
            if high <= top:
                return 0.0, float(top)
    return low, high


def alpha_of_colour_key(image: Image.Image, key: int) -> Image.Image:
    """The alpha channel (mode L) of a deep image in which the value `key` is transparent."""
    return Image.fromarray(np.where(np.asarray(image) == key, 0, 255).astype(np.uint8))
