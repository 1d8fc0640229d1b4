"""Draws a beetle from above, 32 x 32 pixels, in one of several styles: `draw(beetle, style, rng)`.

Shapes are polygons in body coordinates with the head up, drawn as `examples.worlds.drawing` says. Leaves and pebbles in
the colours of beetles lie around, and twigs lie across the beetle.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from examples.beetles.parts import Beetle
from examples.worlds.drawing import FINE, WHITE, Colour, Point, Pose, ellipse, ground, lit, mixed, segments, shifted

IMAGE_PX = 32
STYLES = ("paint", "ink", "night", "poster")

RGB: dict[str, Colour] = {
    "red": (210, 35, 35),
    "yellow": (240, 215, 45),
    "green": (45, 155, 60),
    "blue": (40, 85, 210),
    "purple": (130, 50, 170),
    "white": (240, 240, 235),
    "black": (20, 20, 22),
    "cyan": (70, 225, 235),
    "pink": (250, 120, 200),
}
_DARK: Colour = (40, 34, 30)
_WING: Colour = (205, 200, 185)
_ellipse = partial(ellipse, corners=20)


@dataclass(frozen=True)
class _Look:
    """How a style draws: `wash`, share of white in each fill; `outline`, width of dark outlines in pixels.

    `ground`: range of the background's grey. `gain`: range of the light. `noise`: half the range of the sensor noise.
    `levels`: levels that each channel is rounded to; 0 for all.
    """

    wash: float
    outline: float
    ground: tuple[int, int]
    gain: tuple[float, float]
    noise: int
    levels: int = 0


_LOOKS: dict[str, _Look] = {
    "paint": _Look(0.0, 0.0, (80, 190), (0.8, 1.1), 10),
    "ink": _Look(0.35, 0.5, (215, 245), (0.95, 1.0), 4),
    "night": _Look(0.0, 0.0, (75, 150), (0.4, 0.6), 8),
    "poster": _Look(0.0, 0.35, (60, 230), (1.0, 1.15), 0, levels=5),
}


class _Brush:
    """Fills shapes in body coordinates, at the pose of this image and in its style."""

    def __init__(self, image: Image.Image, look: _Look, rng: np.random.Generator) -> None:
        self._draw, self._look = ImageDraw.Draw(image), look
        scale, angle = 0.85 + 0.2 * rng.random(), (rng.random() - 0.5) * 0.9
        flip = bool(rng.random() < 0.5)
        centre = (15.5 + (rng.random() - 0.5) * 3, 15.5 + (rng.random() - 0.5) * 3)
        self._pose = Pose(scale=scale, angle=angle, flip=flip, centre=centre)

    def polygon(self, points: Sequence[Point], fill: Colour, *, outlined: bool = True) -> None:
        placed = self._pose.place(points)
        self._draw.polygon(placed, fill=mixed(fill, WHITE, self._look.wash))
        if outlined and self._look.outline:
            self._draw.line([*placed, placed[0]], fill=_DARK, width=max(1, round(self._look.outline * FINE)))

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: Colour, *, outlined: bool = True) -> None:
        self.polygon(_ellipse(x, y, rx, ry), fill, outlined=outlined)

    def stroke(self, points: Sequence[Point], width: float, fill: Colour) -> None:
        for corners, (x, y) in segments(points, width):
            self.polygon(corners, fill, outlined=False)
            self.ellipse(x, y, width / 2, width / 2, fill, outlined=False)


def draw(beetle: Beetle, style: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The beetle in a random pose and light, among clutter: uint8 (32, 32, 3). `style`: one of `STYLES`."""
    look = _LOOKS[style]
    image = ground(IMAGE_PX, 5, look.ground, 25, rng)
    _clutter(image, look, rng)
    pen = _Brush(image, look, rng)
    base, mark = (shifted(RGB[beetle[part]], 14, rng) for part in ("colour", "marking_colour"))
    _wings(pen, beetle["wings"])
    _legs(pen, beetle["legs"])
    _tail(pen, beetle["tail"], base)
    _horns(pen, beetle["horns"])
    pen.ellipse(0, -7.6, 3.1, 2.7, mixed(base, _DARK, 0.75))
    outline = _shell(beetle["shape"])
    pen.polygon([(x * 1.1, y * 1.08) for x, y in outline], mixed(base, _DARK, 0.65))
    pen.polygon(outline, base, outlined=False)
    _marking(pen, beetle["marking"], mark)
    _twigs(image, look, rng)
    return _styled(np.asarray(image.reduce(FINE), dtype=np.float32), look, rng)


def _clutter(image: Image.Image, look: _Look, rng: np.random.Generator) -> None:
    """Leaves and pebbles of random colours behind the beetle."""
    pen, names = ImageDraw.Draw(image), list(RGB)
    for _ in range(int(rng.integers(4, 9))):
        angle, distance = rng.random() * 2 * math.pi, 8 + 9 * rng.random()
        x, y = 15.5 + distance * math.cos(angle), 15.5 + distance * math.sin(angle)
        fill = mixed(shifted(RGB[names[int(rng.integers(len(names)))]], 14, rng), _DARK, 0.3 * rng.random())
        rx, ry, turn = 1.2 + 2.3 * rng.random(), 1.0 + 1.6 * rng.random(), rng.random() * math.pi
        points = [
            (x + px * math.cos(turn) - py * math.sin(turn), y + px * math.sin(turn) + py * math.cos(turn))
            for px, py in _ellipse(0, 0, rx, ry, corners=int(rng.integers(4, 12)))
        ]
        placed = [(round(px * FINE), round(py * FINE)) for px, py in points]
        pen.polygon(placed, fill=mixed(fill, WHITE, look.wash))
        if look.outline:
            pen.line([*placed, placed[0]], fill=_DARK, width=1)


def _twigs(image: Image.Image, look: _Look, rng: np.random.Generator) -> None:
    """One or two thin twigs or blades of grass across the image."""
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(1, 3))):
        angle, offset = rng.random() * math.pi, (rng.random() - 0.5) * 24
        middle = (15.5 - offset * math.sin(angle), 15.5 + offset * math.cos(angle))
        ends = [(middle[0] + s * math.cos(angle), middle[1] + s * math.sin(angle)) for s in (-24.0, 24.0)]
        placed = [(round(x * FINE), round(y * FINE)) for x, y in ends]
        fill = shifted((110, 95, 60) if rng.random() < 0.5 else (90, 120, 55), 14, rng)
        pen.line(placed, fill=mixed(fill, WHITE, look.wash), width=round((0.6 + 0.5 * rng.random()) * FINE))


def _styled(image: NDArray[np.float32], look: _Look, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Light with a gradient, sensor noise, and the levels of the style."""
    low, high = look.gain
    seen = lit(image, (low, high - low), 0.3, look.noise, rng)
    if look.levels:
        step = np.float32(255 / (look.levels - 1))
        seen = np.rint(seen / step) * step
    rounded: NDArray[np.uint8] = np.rint(seen).astype(np.uint8)
    return rounded


def _shell(shape: str) -> list[Point]:
    if shape == "round":
        return _ellipse(0, 0.5, 6.4, 6.4)
    if shape == "long":
        return _ellipse(0, 0.5, 4.0, 7.4)
    if shape == "square":
        return [(-5.6, -4.2), (-4.6, -5.4), (4.6, -5.4), (5.6, -4.2), (5.6, 5.6), (4.6, 6.6), (-4.6, 6.6), (-5.6, 5.6)]
    sign = 1.0 if shape == "pear" else -1.0
    return [(x * (1 + 0.42 * sign * y / 6.8) * 0.88, y + 0.5) for x, y in _ellipse(0, 0, 6.2, 6.8)]


def _marking(pen: _Brush, marking: str, fill: Colour) -> None:
    if marking == "spots":
        for x, y in ((-2.2, -2.0), (2.2, -2.0), (-2.2, 3.0), (2.2, 3.0)):
            pen.ellipse(x, y, 1.35, 1.35, fill, outlined=False)
    elif marking == "stripes":
        for x in (-2.0, 2.0):
            pen.polygon([(x - 0.85, -3.8), (x + 0.85, -3.8), (x + 0.85, 5.0), (x - 0.85, 5.0)], fill, outlined=False)
    elif marking == "band":
        pen.polygon([(-3.8, -1.2), (3.8, -1.2), (3.8, 2.4), (-3.8, 2.4)], fill, outlined=False)
    elif marking == "ring":
        turns = [2 * math.pi * i / 16 for i in range(17)]
        pen.stroke([(2.7 * math.cos(t), 0.6 + 2.7 * math.sin(t)) for t in turns], 1.7, fill)
    else:
        for sign in (-1.0, 1.0):
            pen.stroke([(-2.8 * sign, -2.4), (2.8 * sign, 3.8)], 1.7, fill)


def _horns(pen: _Brush, horns: str) -> None:
    sides = (-1.0, 1.0)
    if horns == "straight":
        for side in sides:
            pen.stroke([(side * 1.4, -9.4), (side * 4.0, -14.2)], 1.5, _DARK)
    elif horns == "curved":
        for side in sides:
            pen.stroke([(side * 1.6, -9.2), (side * 4.8, -10.4), (side * 5.2, -13.0), (side * 2.6, -14.4)], 1.4, _DARK)
    elif horns == "forked":
        pen.stroke([(0.0, -9.4), (0.0, -12.0)], 1.8, _DARK)
        for side in sides:
            pen.stroke([(0.0, -12.0), (side * 2.6, -14.8)], 1.5, _DARK)
    elif horns == "clubbed":
        for side in sides:
            pen.stroke([(side * 1.4, -9.4), (side * 4.6, -12.4)], 0.9, _DARK)
            pen.ellipse(side * 5.0, -12.8, 1.7, 1.7, (225, 130, 40))


def _legs(pen: _Brush, legs: str) -> None:
    for side in (-1.0, 1.0):
        for y in (-3.0, 0.6, 4.2):
            if legs == "short":
                path = [(side * 4.0, y), (side * 8.0, y + 0.4)]
            elif legs == "long":
                path = [(side * 4.0, y), (side * 12.6, y * 1.5)]
            else:
                path = [(side * 4.0, y), (side * 9.4, y - 1.6), (side * 10.8, y + 3.0)]
            pen.stroke(path, 1.15, _DARK)


def _tail(pen: _Brush, tail: str, base: Colour) -> None:
    shade = mixed(base, _DARK, 0.55)
    if tail == "pointed":
        pen.polygon([(-1.8, 6.0), (1.8, 6.0), (0.0, 13.8)], shade)
    elif tail == "split":
        for side in (-1.0, 1.0):
            pen.polygon([(side * 0.6, 6.0), (side * 3.0, 5.6), (side * 4.4, 13.0)], shade)
    elif tail == "fan":
        arc = [(6.4 * math.cos(t), 6.2 + 6.0 * math.sin(t)) for t in (math.pi * (0.18 + 0.08 * i) for i in range(9))]
        pen.polygon([(0.0, 5.6), *arc], mixed(base, WHITE, 0.45))


def _wings(pen: _Brush, wings: str) -> None:
    span = {"none": 0.0, "small": 4.2, "large": 7.2}[wings]
    if span:
        for side in (-1.0, 1.0):
            reach = 4.5 + span
            points = [(side * 2.0, -4.6), (side * reach, -5.4), (side * (reach + 0.8), -1.6), (side * 3.0, 3.4)]
            pen.polygon(points, _WING)
