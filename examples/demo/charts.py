"""Charts as inline SVG: line charts over steps, and a pair of dots per label. The CSS of the page sets the colours.

All texts are escaped. A chart without data is replaced by a sentence.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

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


def line_chart(all_series: Sequence[Series], *, x_label: str, y_label: str, height: int = 280) -> str:
    """A line chart of several series; both axes begin at 0."""
    points = [point for series in all_series for point in series.points]
    if not points:
        return "<p>Nothing was logged.</p>"
    x_max, y_max = max(x for x, _ in points), max(y for _, y in points)
    x_ticks, y_ticks = ticks(x_max), ticks(y_max)
    x_top, y_top = max(x_max, x_ticks[-1]), max(y_max, y_ticks[-1])
    inner_width, inner_height = _WIDTH - _LEFT - _RIGHT, height - _TOP - _BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        return _LEFT + x / x_top * inner_width, _TOP + inner_height - y / y_top * inner_height

    parts = []
    for tick in y_ticks:
        _, y = place(0, tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(_LEFT - 8, y + 4, f"{tick:g}", anchor="end"))
    for tick in x_ticks:
        x, _ = place(tick, 0)
        parts.append(_text(x, height - _BOTTOM + 18, f"{tick:,g}", anchor="middle"))
    for series in all_series:
        if series.points:
            path = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in series.points)
            parts.append(f'<polyline class="line {series.css}" points="{path}"/>')
    parts.append(_text(_LEFT + inner_width / 2, height - 4, x_label, anchor="middle"))
    middle = _TOP + inner_height / 2
    rotation = f'transform="rotate(-90 12 {middle:.1f})"'
    parts.append(f'<text x="12" y="{middle:.1f}" text-anchor="middle" {rotation}>{escape(y_label)}</text>')
    entries = [(series.name, series.css) for series in all_series]
    return _svg(height, parts, f"{y_label} over {x_label}") + legend(entries)


def pair_chart(pairs: Sequence[Pair], *, chance: float, before: str, after: str) -> str:
    """One row per label with its two accuracies, best label first, and a dashed line at the accuracy of chance."""
    if not pairs:
        return "<p>No label was evaluated.</p>"
    ordered = sorted(pairs, key=lambda pair: (-pair.after, -pair.before, pair.label))
    row, label_width = 19, 190
    height = _TOP + row * len(ordered) + _BOTTOM
    inner_width = _WIDTH - label_width - _RIGHT

    def x_of(accuracy: float) -> float:
        return label_width + accuracy * inner_width

    bottom = _TOP + row * len(ordered)
    parts = []
    for percent in (0, 25, 50, 75, 100):
        x = x_of(percent / 100)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}"/>')
        parts.append(_text(x, bottom + 18, f"{percent}%", anchor="middle"))
    parts.append(f'<line class="chance" x1="{x_of(chance):.1f}" x2="{x_of(chance):.1f}" y1="{_TOP}" y2="{bottom}"/>')
    for index, pair in enumerate(ordered):
        y = _TOP + row * (index + 0.5)
        low, high = x_of(pair.before), x_of(pair.after)
        parts.append(_text(label_width - 12, y + 4, _short(pair.label), anchor="end"))
        parts.append(f'<line class="span" x1="{low:.1f}" x2="{high:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        for css, x, value in (("names", low, pair.before), ("enriched", high, pair.after)):
            title = f"<title>{escape(pair.label)}: {value:.0%}</title>"
            parts.append(f'<circle class="{css}" cx="{x:.1f}" cy="{y:.1f}" r="4.5">{title}</circle>')
    parts.append(_text(label_width + inner_width / 2, height - 4, "accuracy", anchor="middle"))
    return legend([(before, "names"), (after, "enriched"), ("chance", "chance")]) + _svg(
        height, parts, "accuracy of each label"
    )


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """A legend of (name, CSS class)."""
    items = "".join(f'<span><i class="{css}"></i>{escape(name)}</span>' for name, css in entries)
    return f'<p class="legend">{items}</p>'


def ticks(top: float, *, max_steps: int = 5) -> list[float]:
    """Round values from 0 to `top` with at most `max_steps` steps of 1, 2, 2.5 or 5 times a power of ten."""
    if top <= 0:
        return [0.0]
    power = 10.0 ** math.floor(math.log10(top / max_steps))
    step = next(size * power for size in (1, 2, 2.5, 5, 10) if top / (size * power) <= max_steps)
    return [number * step for number in range(int(top / step + 1e-9) + 1)]


def _text(x: float, y: float, text: str, *, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(height: int, parts: Sequence[str], title: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title, quote=True)}">'
        + "".join(parts)
        + "</svg>"
    )


def _short(label: str) -> str:
    return label if len(label) <= 26 else label[:25] + "…"
