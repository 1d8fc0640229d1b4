"""Draws one creature, 64 × 64 pixels, from its attributes: `draw(attributes, rng)`.

Shapes are polygons in body coordinates, x towards the face, drawn as `examples.worlds.drawing` says.
"""

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from examples.fieldguide.language import Attributes
from examples.worlds.drawing import FINE, WHITE, Colour, Point, Pose, ellipse, ground, lit, mixed, segments, shifted

IMAGE_PX = 64

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
_ellipse = partial(ellipse, corners=28)

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

    def __init__(self, image: Image.Image, pose: Pose) -> None:
        self._draw, self._pose = ImageDraw.Draw(image), pose

    def polygon(self, points: Sequence[Point], fill: Colour | int) -> None:
        self._draw.polygon(self._pose.place(points), fill=fill)

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: Colour | int) -> None:
        self.polygon(_ellipse(x, y, rx, ry), fill)

    def line(self, points: Sequence[Point], width: float, fill: Colour) -> None:
        """Draw a stroke with round joints; each segment is a separate polygon."""
        for corners, (x, y) in segments(points, width):
            self.polygon(corners, fill)
            self.ellipse(x, y, width / 2, width / 2, fill)


def draw(attributes: Attributes, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The creature in a random pose, position, size and light on a noisy background: uint8 (64, 64, 3)."""
    image = ground(IMAGE_PX, 6, (70, 190), 28, rng)
    centre = (31.5 + (rng.random() - 0.5) * 9, 32.5 + (rng.random() - 0.5) * 7)
    scale, angle = 0.82 + 0.24 * rng.random(), (rng.random() - 0.5) * 0.5
    pose = Pose(scale=scale, angle=angle, flip=bool(rng.random() < 0.5), centre=centre)
    pen = _Pen(image, pose)
    base = shifted(RGB[attributes["colour"]], 13, rng)
    rx, ry = _SIZE[attributes["body"]]
    _tail(pen, attributes["tail"], base, rx, ry)
    _wings(pen, attributes["wings"], base, rx, ry)
    _legs(pen, attributes["legs"], rx, ry)
    _crest(pen, attributes["head"], base, rx, ry)
    outline = _outline(attributes["body"], rx, ry)
    pen.polygon([(x * 1.06, y * 1.06) for x, y in outline], mixed(base, _DARK, 0.6))
    pen.polygon(outline, base)
    if attributes["pattern"] != "plain":
        _pattern(image, pose, attributes, outline, shifted(RGB[attributes["pattern_colour"]], 13, rng), rng)
    _mouth(pen, attributes["mouth"], base, rx, ry)
    _eye(pen, attributes["eyes"], rx, ry)
    small = np.asarray(image.reduce(FINE), dtype=np.float32)
    return lit(small, (0.78, 0.36), 0.36, 11, rng).astype(np.uint8)


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
    shade, light = mixed(base, _DARK, 0.35), mixed(base, WHITE, 0.3)
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
    light, shade = mixed(base, WHITE, 0.45), mixed(base, _DARK, 0.5)
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
            pen.ellipse(x + side * 6, y - 3, 5.0, 5.0, mixed(base, _DARK, 0.6))
            pen.ellipse(x + side * 6, y - 3, 4.2, 4.2, base)
            pen.ellipse(x + side * 6, y - 3, 2.4, 2.4, mixed(base, (255, 190, 190), 0.6))
    elif head == "spikes":
        shade = mixed(base, _DARK, 0.45)
        for i in range(5):
            foot = x + (i - 2) * 3.6
            pen.polygon([(foot - 2.0, y + 3), (foot, y - 6.5), (foot + 2.0, y + 3)], shade)


def _pattern(
    image: Image.Image,
    pose: Pose,
    attributes: Attributes,
    outline: Sequence[Point],
    colour: Colour,
    rng: np.random.Generator,
) -> None:
    """Draw the pattern into a mask, clip it to the body and paste it."""
    rx, ry = _SIZE[attributes["body"]]
    belt = min(3.6, ry * 0.3)
    marks, inside = Image.new("L", image.size), Image.new("L", image.size)
    _Pen(inside, pose).polygon(outline, 255)
    pen = _Pen(marks, pose)
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
        pen.line(path, 5.0, mixed(base, _DARK, 0.65))
        pen.line(path, 3.4, mixed(base, WHITE, 0.15))


def _eye(pen: _Pen, eyes: str, rx: float, ry: float) -> None:
    x, y = rx * (0.25 if rx > 15 and ry > 14 else 0.48), -ry * (0.1 if rx > 15 and ry > 14 else 0.42)
    if eyes == "large":
        pen.ellipse(x, y, 5.2, 5.2, _DARK)
        pen.ellipse(x, y, 4.5, 4.5, (250, 250, 250))
        pen.ellipse(x + 0.8, y, 2.2, 2.2, (15, 15, 15))
    else:
        pen.ellipse(x, y, 1.9, 1.9, (250, 250, 250))
        pen.ellipse(x, y, 1.2, 1.2, (15, 15, 15))
