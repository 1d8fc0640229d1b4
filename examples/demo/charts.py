"""Charts as inline SVG: line charts over steps, and a pair of dots per label. The CSS of the page sets the colours.

The templates escape all texts. A chart without data is replaced by a sentence.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from examples.demo.rendering import TEMPLATES

_WIDTH = 720
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 16, 12, 40


@dataclass(frozen=True)
class Series:
    """A named series of points (x, y), drawn with the CSS class `css`."""

    name: str
    css: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Pair:
    """Two accuracies (0..1) of a label."""

    label: str
    before: float
    after: float


def smoothed(points: Sequence[tuple[float, float]], *, window: int) -> list[tuple[float, float]]:
    """The running mean over the last `window` points, subsampled to about 300 points."""
    total, means = 0.0, []
    for index, (x, y) in enumerate(points):
        total += y - (points[index - window][1] if index >= window else 0.0)
        means.append((x, total / min(index + 1, window)))
    step = max(1, len(means) // 300)
    return means[::-step][::-1]


def line_chart(all_series: Sequence[Series], *, x_label: str, y_label: str, height: int = 280) -> Markup:
    """A line chart of several series; both axes begin at 0."""
    points = [point for series in all_series for point in series.points]
    if not points:
        return Markup("<p>Nothing was logged.</p>")
    x_max, y_max = max(x for x, _ in points), max(y for _, y in points)
    x_ticks, y_ticks = ticks(x_max), ticks(y_max)
    x_top, y_top = max(x_max, x_ticks[-1]), max(y_max, y_ticks[-1])
    right, bottom = _WIDTH - _RIGHT, height - _BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        return _LEFT + x / x_top * (right - _LEFT), bottom - y / y_top * (bottom - _TOP)

    chart = {
        "width": _WIDTH,
        "height": height,
        "left": _LEFT,
        "right": right,
        "bottom": bottom,
        "middle": (_TOP + bottom) / 2,
        "x_label": x_label,
        "y_label": y_label,
        "x_ticks": [(place(tick, 0)[0], f"{tick:,g}") for tick in x_ticks],
        "y_ticks": [(place(0, tick)[1], f"{tick:g}") for tick in y_ticks],
        "lines": [(series.css, [place(x, y) for x, y in series.points]) for series in all_series if series.points],
        "legend": [(series.name, series.css) for series in all_series],
    }
    return _render("line_chart", chart)


def pair_chart(pairs: Sequence[Pair], *, chance: float, before: str, after: str) -> Markup:
    """One row per label with its two accuracies, best label first, and a dashed line at the accuracy of chance."""
    if not pairs:
        return Markup("<p>No label was evaluated.</p>")
    ordered = sorted(pairs, key=lambda pair: (-pair.after, -pair.before, pair.label))
    row, left, right = 19, 190, _WIDTH - _RIGHT
    bottom = _TOP + row * len(ordered)

    def x_of(accuracy: float) -> float:
        return left + accuracy * (right - left)

    def dots(pair: Pair) -> list[dict[str, object]]:
        accuracies = (("names", pair.before), ("enriched", pair.after))
        return [{"css": css, "x": x_of(accuracy), "accuracy": accuracy} for css, accuracy in accuracies]

    chart = {
        "width": _WIDTH,
        "height": bottom + _BOTTOM,
        "left": left,
        "right": right,
        "top": _TOP,
        "bottom": bottom,
        "chance": x_of(chance),
        "x_ticks": [(x_of(percent / 100), f"{percent}%") for percent in (0, 25, 50, 75, 100)],
        "rows": [
            {"label": pair.label, "y": _TOP + row * (index + 0.5), "dots": dots(pair)}
            for index, pair in enumerate(ordered)
        ],
        "legend": [(before, "names"), (after, "enriched"), ("chance", "chance")],
    }
    return _render("pair_chart", chart)


def ticks(top: float, *, max_steps: int = 5) -> list[float]:
    """Round values from 0 to `top` with at most `max_steps` steps of 1, 2, 2.5 or 5 times a power of ten."""
    if top <= 0:
        return [0.0]
    power = 10.0 ** math.floor(math.log10(top / max_steps))
    step = next(size * power for size in (1, 2, 2.5, 5, 10) if top / (size * power) <= max_steps)
    return [number * step for number in range(int(top / step + 1e-9) + 1)]


def _render(macro: str, chart: dict[str, object]) -> Markup:
    module = TEMPLATES.get_template("charts.html.jinja").module
    return Markup(getattr(module, macro)(chart))
