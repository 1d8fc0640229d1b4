"""Greyscale images with more than 8 bits per pixel (Pillow's modes I;16, I and F), scaled to 8 bits.

PNG and JPEG 2000 define the range: 0 to 65535. TIFF does not, and cameras and microscopes store 12-bit values in
16 bits, which would be black. The range of a TIFF, and of every 32-bit and float image, is therefore the first of these
that holds all values: 0..1; if all are integers 0..255, 0..4095 (12 bits), 0..65535; else the image's own minimum and
maximum. NaN is black, infinity the end of the range on its side.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from limbeck.shared.images.unreadable import UnreadableImage

_INTEGER_TOPS = (255, 4095, 65535)
_BLOCK = 1 << 20
"""Values that are scaled at once: an image of 100 million pixels needs no copy of them as float64."""

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
    grey = np.empty(values.shape, np.uint8)
    for rows in _blocks(values):
        grey[rows] = _scaled(values[rows], low, high)
    if is_inverted:
        np.subtract(255, grey, out=grey)
    return Image.fromarray(grey)


def _blocks(values: Samples) -> list[slice]:
    """Slices of the rows, of at most some `_BLOCK` values each."""
    num_rows = max(1, _BLOCK // values.shape[1])
    return [slice(first, first + num_rows) for first in range(0, len(values), num_rows)]


def _scaled(values: Samples, low: float, high: float) -> Samples:
    kind = np.float64 if values.dtype.itemsize == 4 and values.dtype.kind != "f" else np.float32
    scaled: Samples = np.nan_to_num(values.astype(kind), copy=False, nan=low, posinf=high, neginf=low)
    scaled -= low
    scaled *= 255 / (high - low) if high > low else 0
    grey: Samples = np.rint(scaled, out=scaled).clip(0, 255).astype(np.uint8)
    return grey


def sample_range(values: Samples) -> tuple[float, float]:
    """The values (lowest, highest) that are shown black and white. Raises UnreadableImage if no value is finite."""
    low, high, are_integers = math.inf, -math.inf, True
    for rows in _blocks(values):
        block = values[rows]
        if block.dtype.kind == "f":
            block = block[np.isfinite(block)]
            if not block.size:
                continue
            are_integers = are_integers and bool((block == np.rint(block)).all())
        low, high = min(low, float(block.min())), max(high, float(block.max()))
    if low > high:
        raise UnreadableImage("none of its values is a finite number")
    if low < 0:
        return low, high
    if high <= 1:
        return 0.0, 1.0
    if are_integers:
        for top in _INTEGER_TOPS:
            if high <= top:
                return 0.0, float(top)
    return low, high


def alpha_of_colour_key(image: Image.Image, key: int) -> Image.Image:
    """The alpha channel (mode L) of a deep image in which the value `key` is transparent."""
    return Image.fromarray(np.where(np.asarray(image) == key, 0, 255).astype(np.uint8))
