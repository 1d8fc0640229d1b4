"""Draws one creature, 64 × 64 pixels, from its attributes: `draw(attributes, rng)`.

Shapes are polygons in body coordinates (one unit is one pixel of the final image, x towards the face, y down). They are
rotated and scaled in Python, rounded to a grid four times as fine, and filled with Pillow. After the rounding there are
only integer fills and box averages, so the pixels are the same on every machine.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from examples.fieldguide.language import Attributes

IMAGE_PX = 64
_FINE = 4  # drawing grid points per image pixel

Point = tuple[float, float]
Colour = tuple[int, int, int]

RGB: dict[str, Colour] = {
    "red": (205, 30, 35),
    "orange": (240, 130, 25),
    "yellow": (240, 220, 45),
    "green": (40, 150, 55),
    "blue": (35, 85, 205),
    "purple": (120, 45, 165),
    "pink": (245, 140, 185),
    "brown": (115, 70, 35),
    "white": (242, 242, 238),
    "black": (28, 28, 32),
}
_BONE: Colour = (225, 210, 170)
_DARK: Colour = (45, 40, 40)
_BEAK: Colour = (235, 185, 40)

# Half width and half height of each body shape.
_SIZE: dict[str, Point] = {
    "round": (13.5, 13.5),
    "long": (19.0, 8.5),
    "tall": (9.0, 18.0),
    "boxy": (13.0, 12.5),
    "triangular": (16.0, 14.5),
}


class _Pen:
    """Fills shapes that are given in body coordinates, transformed to the pose of this image."""

    def __init__(self, image: Image.Image, *, scale: float, angle: float, flip: bool, centre: Point) -> None:
        self._draw = ImageDraw.Draw(image)
        self._cos, self._sin = math.cos(angle) * scale, math.sin(angle) * scale
        self._flip = -1.0 if flip else 1.0
        self._centre = centre
        self._scale = scale

    def place(self, points: Sequence[Point]) -> list[tuple[int, int]]:
        placed = []
        for x, y in points:
            px = (x * self._cos - y * self._sin) * self._flip + self._centre[0]
            py = x * self._sin + y * self._cos + self._centre[1]
            placed.append((round(px * _FINE), round(py * _FINE)))
        return placed

    def polygon(self, points: Sequence[Point], fill: Colour | int) -> None:
        self._draw.polygon(self.place(points), fill=fill)

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: Colour | int) -> None:
        self.polygon(_ellipse(x, y, rx, ry), fill)

    def line(self, points: Sequence[Point], width: float, fill: Colour) -> None:
        """Draw a stroke with round joints; each segment is a separate polygon."""
        half = width / 2
        for (x0, y0), (x1, y1) in pairwise(points):
            length = math.hypot(x1 - x0, y1 - y0) or 1.0
            nx, ny = (y0 - y1) / length * half, (x1 - x0) / length * half
            self.polygon([(x0 + nx, y0 + ny), (x1 + nx, y1 + ny), (x1 - nx, y1 - ny), (x0 - nx, y0 - ny)], fill)
            self.ellipse(x1, y1, half, half, fill)


def _ellipse(x: float, y: float, rx: float, ry: float, corners: int = 28) -> list[Point]:
    turns = [2 * math.pi * i / corners for i in range(corners)]
    return [(x + rx * math.cos(t), y + ry * math.sin(t)) for t in turns]


def _mix(a: Colour, b: Colour, share: float) -> Colour:
    return (
        round(a[0] + (b[0] - a[0]) * share),
        round(a[1] + (b[1] - a[1]) * share),
        round(a[2] + (b[2] - a[2]) * share),
    )


def draw(attributes: Attributes, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The creature in a random pose, position, size and light on a noisy background: uint8 (64, 64, 3)."""
    image = _background(rng)
    centre = (31.5 + (rng.random() - 0.5) * 9, 32.5 + (rng.random() - 0.5) * 7)
    pose = {
        "scale": 0.82 + 0.24 * rng.random(),
        "angle": (rng.random() - 0.5) * 0.5,
        "flip": bool(rng.random() < 0.5),
        "centre": centre,
    }
    pen = _Pen(image, **pose)  # type: ignore[arg-type]
    base = _shifted(RGB[attributes["colour"]], rng)
    rx, ry = _SIZE[attributes["body"]]
    _tail(pen, attributes["tail"], base, rx, ry)
    _wings(pen, attributes["wings"], base, rx, ry)
    _legs(pen, attributes["legs"], rx, ry)
    _crest(pen, attributes["head"], base, rx, ry)
    outline = _outline(attributes["body"], rx, ry)
    pen.polygon([(x * 1.06, y * 1.06) for x, y in outline], _mix(base, _DARK, 0.6))
    pen.polygon(outline, base)
    if attributes["pattern"] != "plain":
        _pattern(image, pose, attributes, outline, _shifted(RGB[attributes["pattern_colour"]], rng), rng)
    _mouth(pen, attributes["mouth"], base, rx, ry)
    _eye(pen, attributes["eyes"], rx, ry)
    small = np.asarray(image.reduce(_FINE), dtype=np.float32)
    return _lit(small, rng)


def _background(rng: np.random.Generator) -> Image.Image:
    """A muted background: a few coarse cells, smoothed."""
    cells = int(rng.integers(2, 7))
    grey = rng.integers(70, 190, size=(cells, cells, 1))
    tint = rng.integers(-28, 29, size=(cells, cells, 3))
    coarse = np.clip(grey + tint, 0, 255).astype(np.uint8)
    side = IMAGE_PX * _FINE
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BILINEAR)


def _shifted(colour: Colour, rng: np.random.Generator) -> Colour:
    r, g, b = (int(np.clip(c + d, 0, 255)) for c, d in zip(colour, rng.integers(-13, 14, size=3), strict=True))
    return r, g, b


def _lit(image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Apply brightness, a light gradient across the image, and sensor noise."""
    gain = 0.78 + 0.36 * rng.random()
    slope = (rng.random(2) - 0.5) * 0.36
    ramp = np.linspace(-0.5, 0.5, IMAGE_PX, dtype=np.float32)
    light = np.float32(gain) + np.float32(slope[0]) * ramp[:, None] + np.float32(slope[1]) * ramp[None, :]
    noise = rng.integers(-11, 12, size=image.shape).astype(np.float32)
    lit: NDArray[np.uint8] = np.clip(np.rint(image * light[:, :, None] + noise), 0, 255).astype(np.uint8)
    return lit


def _outline(body: str, rx: float, ry: float) -> list[Point]:
    if body == "boxy":
        c = 3.0
        return [
            (-rx + c, -ry),
            (rx - c, -ry),
            (rx, -ry + c),
            (rx, ry - c),
            (rx - c, ry),
            (-rx + c, ry),
            (-rx, ry - c),
            (-rx, -ry + c),
        ]
    if body == "triangular":
        return [(-2.0, -ry), (2.0, -ry), (rx, ry - 2), (rx - 2, ry), (-rx + 2, ry), (-rx, ry - 2)]
    return _ellipse(0, 0, rx, ry)


def _top(body_rx: float, body_ry: float) -> float:
    """The y coordinate of features on the head, slightly inside the upper edge."""
    return -body_ry + 1.5


def _tail(pen: _Pen, tail: str, base: Colour, rx: float, ry: float) -> None:
    shade, light = _mix(base, _DARK, 0.35), _mix(base, (255, 255, 255), 0.3)
    x, y = -rx * 0.8, ry * 0.35
    if tail == "long":
        pen.line([(x, y), (x - 9, y - 3), (x - 19, y - 8)], 3.0, shade)
    elif tail == "curled":
        turns = [(6.5 - 0.55 * i, 0.75 * i + 2.6) for i in range(11)]
        spiral = [(x - 7 - r * math.cos(t), y - 3 - r * math.sin(t)) for r, t in turns]
        pen.line([(x + 2, y), *spiral], 2.3, shade)
    elif tail == "fan":
        for i in range(5):
            angle = math.pi - 0.9 + 0.45 * i
            tip = (x + 15 * math.cos(angle), y - 2 - 15 * math.sin(angle))
            pen.line([(x + 2, y - 2), tip], 4.6, light if i % 2 else shade)
    elif tail == "forked":
        for rise in (-11.0, 6.0):
            pen.polygon([(x + 3, y - 5), (x + 3, y + 4), (x - 15, y + rise)], shade)


def _wings(pen: _Pen, wings: str, base: Colour, rx: float, ry: float) -> None:
    light, shade = _mix(base, (255, 255, 255), 0.45), _mix(base, _DARK, 0.5)
    x, y = -rx * 0.42, -ry * (0.05 if rx == _SIZE["triangular"][0] else 0.42)
    span = {"none": 0.0, "small": 11.0, "large": 21.0}[wings]
    if span:
        width = span * 0.45
        for spread, fill in ((1.1, shade), (1.0, light)):
            tip = (x - span * 0.55 * spread, y - span * spread)
            pen.polygon([(x - width, y + 1), tip, (x + width * 0.25, y - span * 0.8), (x + width, y + 2)], fill)


def _legs(pen: _Pen, legs: str, rx: float, ry: float) -> None:
    at = {"none": (), "two": (-0.3, 0.3), "four": (-0.72, -0.28, 0.2, 0.66)}[legs]
    reach = max(rx, 11.0)
    for share in at:
        x = share * reach
        pen.line([(x, ry * 0.45), (x, ry + 7), (x + 2.5, ry + 7)], 2.6, _DARK)


def _crest(pen: _Pen, head: str, base: Colour, rx: float, ry: float) -> None:
    x, y = rx * 0.15 if rx > 14 and ry > 14 else rx * 0.3, _top(rx, ry)
    if rx > 18:
        x = rx * 0.55
        y += 1.5
    if head == "horns":
        for side in (-1.0, 1.0):
            foot = x + side * 4
            pen.polygon([(foot - 2.4, y + 2), (foot + side * 5, y - 10), (foot + 2.4, y + 2)], _DARK)
            pen.polygon([(foot - 1.7, y + 2), (foot + side * 4.6, y - 8.8), (foot + 1.7, y + 2)], _BONE)
    elif head == "antennae":
        for side in (-1.0, 1.0):
            pen.line([(x + side * 1.5, y + 2), (x + side * 4, y - 6), (x + side * 6, y - 9.5)], 1.3, _DARK)
            pen.ellipse(x + side * 6, y - 9.5, 2.0, 2.0, _DARK)
    elif head == "ears":
        for side in (-1.0, 1.0):
            pen.ellipse(x + side * 6, y - 3, 5.0, 5.0, _mix(base, _DARK, 0.6))
            pen.ellipse(x + side * 6, y - 3, 4.2, 4.2, base)
            pen.ellipse(x + side * 6, y - 3, 2.4, 2.4, _mix(base, (255, 190, 190), 0.6))
    elif head == "spikes":
        shade = _mix(base, _DARK, 0.45)
        for i in range(5):
            foot = x + (i - 2) * 3.6
            pen.polygon([(foot - 2.0, y + 3), (foot, y - 6.5), (foot + 2.0, y + 3)], shade)


def _pattern(
    image: Image.Image,
    pose: dict[str, object],
    attributes: Attributes,
    outline: Sequence[Point],
    colour: Colour,
    rng: np.random.Generator,
) -> None:
    """Draw the pattern into a mask, clip it to the body and paste it."""
    rx, ry = _SIZE[attributes["body"]]
    belt = min(3.6, ry * 0.3)
    marks, inside = Image.new("L", image.size), Image.new("L", image.size)
    _Pen(inside, **pose).polygon(outline, 255)  # type: ignore[arg-type]
    pen = _Pen(marks, **pose)  # type: ignore[arg-type]
    offset = (rng.random() - 0.5) * 2
    if attributes["pattern"] == "striped":
        for i in range(-4, 5):
            x = i * 6.2 + offset
            pen.polygon([(x - 1.5, -ry - 2), (x + 1.5, -ry - 2), (x + 1.5, ry + 2), (x - 1.5, ry + 2)], 255)
    elif attributes["pattern"] == "belted":
        y = ry * 0.35 + offset
        pen.polygon([(-rx - 2, y - belt), (rx + 2, y - belt), (rx + 2, y + belt), (-rx - 2, y + belt)], 255)
    else:
        for row in range(-2, 3):
            for column in range(-3, 4):
                x = column * 7.2 + (3.6 if row % 2 else 0.0) + offset
                pen.ellipse(x, row * 6.4 + offset, 2.15, 2.15, 255)
    both = Image.fromarray(np.minimum(np.asarray(marks), np.asarray(inside)))
    image.paste(colour, (0, 0), both)


def _mouth(pen: _Pen, mouth: str, base: Colour, rx: float, ry: float) -> None:
    x, y = rx * (0.62 if rx > 15 and ry > 14 else 0.86), ry * 0.05
    if mouth == "beak":
        pen.polygon([(x - 2.5, y - 4.6), (x + 12.5, y + 1.2), (x - 2.5, y + 5.2)], _DARK)
        pen.polygon([(x - 2.0, y - 3.6), (x + 10.6, y + 1.0), (x - 2.0, y + 4.2)], _BEAK)
    elif mouth == "trunk":
        path = [(x - 2, y), (x + 5, y + 1), (x + 8, y + 6), (x + 7, y + 12), (x + 9, y + 15)]
        pen.line(path, 5.0, _mix(base, _DARK, 0.65))
        pen.line(path, 3.4, _mix(base, (255, 255, 255), 0.15))


def _eye(pen: _Pen, eyes: str, rx: float, ry: float) -> None:
    x, y = rx * (0.25 if rx > 15 and ry > 14 else 0.48), -ry * (0.1 if rx > 15 and ry > 14 else 0.42)
    if eyes == "large":
        pen.ellipse(x, y, 5.2, 5.2, _DARK)
        pen.ellipse(x, y, 4.5, 4.5, (250, 250, 250))
        pen.ellipse(x + 0.8, y, 2.2, 2.2, (15, 15, 15))
    else:
        pen.ellipse(x, y, 1.9, 1.9, (250, 250, 250))
        pen.ellipse(x, y, 1.2, 1.2, (15, 15, 15))
