"""Drawing of small pictures that are the same on every machine: polygons at a pose, ground, light and noise.

Shapes are polygons in body coordinates (one unit is one pixel of the final image, y down). They are placed in Python,
rounded to a grid `FINE` times as fine, and filled with Pillow. After the rounding there are only integer fills, box
averages and float32 products. The order of the random draws is part of every frozen picture.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FINE = 4
"""Drawing grid points per image pixel."""

Point = tuple[float, float]
Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)


class Pose:
    """Where the body of an image is: its size, rotation, side and centre."""

    def __init__(self, *, scale: float, angle: float, flip: bool, centre: Point) -> None:
        self._cos, self._sin = math.cos(angle) * scale, math.sin(angle) * scale
        self._flip = -1.0 if flip else 1.0
        self._centre = centre

    def place(self, points: Sequence[Point]) -> list[tuple[int, int]]:
        """The grid points of points in body coordinates."""
        placed = []
        for x, y in points:
            px = (x * self._cos - y * self._sin) * self._flip + self._centre[0]
            py = x * self._sin + y * self._cos + self._centre[1]
            placed.append((round(px * FINE), round(py * FINE)))
        return placed


def ellipse(x: float, y: float, rx: float, ry: float, corners: int) -> list[Point]:
    """The corners of an ellipse."""
    turns = [2 * math.pi * i / corners for i in range(corners)]
    return [(x + rx * math.cos(t), y + ry * math.sin(t)) for t in turns]


def segments(points: Sequence[Point], width: float) -> Iterator[tuple[list[Point], Point]]:
    """The rectangle around each segment of a stroke, and the end of the segment, where a round joint belongs."""
    half = width / 2
    for (x0, y0), (x1, y1) in pairwise(points):
        length = math.hypot(x1 - x0, y1 - y0) or 1.0
        nx, ny = (y0 - y1) / length * half, (x1 - x0) / length * half
        yield [(x0 + nx, y0 + ny), (x1 + nx, y1 + ny), (x1 - nx, y1 - ny), (x0 - nx, y0 - ny)], (x1, y1)


def mixed(a: Colour, b: Colour, share: float) -> Colour:
    """`a` with this share of `b`."""
    red, green, blue = (round(one + (other - one) * share) for one, other in zip(a, b, strict=True))
    return red, green, blue


def shifted(colour: Colour, by: int, rng: np.random.Generator) -> Colour:
    """The colour with each channel changed by at most `by`."""
    changes = rng.integers(-by, by + 1, size=3)
    red, green, blue = (int(np.clip(c + d, 0, 255)) for c, d in zip(colour, changes, strict=True))
    return red, green, blue


def ground(image_px: int, max_cells: int, grey: tuple[int, int], tint: int, rng: np.random.Generator) -> Image.Image:
    """A muted background at the size of the grid: 2 to `max_cells` coarse cells a side, smoothed.

    `grey`: the range of their grey, without its end; `tint`: by which each channel differs at most.
    """
    cells = int(rng.integers(2, max_cells + 1))
    greys = rng.integers(*grey, size=(cells, cells, 1))
    tints = rng.integers(-tint, tint + 1, size=(cells, cells, 3))
    coarse = np.clip(greys + tints, 0, 255).astype(np.uint8)
    side = image_px * FINE
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BILINEAR)


def lit(
    image: NDArray[np.float32], gain: tuple[float, float], slope: float, noise: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Light with a gradient, and sensor noise: whole numbers from 0 to 255, as (side, side, 3).

    `gain`: the least brightness, and by how much it can be more; `slope`: range of the gradient across the image;
    `noise`: half the range of the noise.
    """
    brightness = gain[0] + gain[1] * rng.random()
    slopes = (rng.random(2) - 0.5) * slope
    ramp = np.linspace(-0.5, 0.5, len(image), dtype=np.float32)
    light = np.float32(brightness) + np.float32(slopes[0]) * ramp[:, None] + np.float32(slopes[1]) * ramp[None, :]
    drawn = rng.integers(-noise, noise + 1, size=image.shape).astype(np.float32)
    found: NDArray[np.float32] = np.clip(np.rint(image * light[:, :, None] + drawn), 0, 255)
    return found
