"""Charts as SVG elements: lines over steps, shares with intervals, and a bar for one share.

They print, copy and scale well: they need no script and no style sheet, and their colours are readable on light and on
dark paper.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

PALETTE = ("#3b7dd8", "#d9772b", "#2e9e6b", "#b5489a", "#7d6fe8", "#a08a1c", "#c0483f", "#3a9bb0")
_FONT = Markup('font-family="system-ui, sans-serif" font-size="11" fill="currentColor"')
_MAX_POINTS = 250


@dataclass(frozen=True)
class Curve:
    """A named line of points (x, y). Points that are not finite are left out."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Frame:
    """The size of a chart in px, and the edges of its plot area."""

    width: int
    height: int
    left: int = 46
    right: int = 12
    top: int = 10
    bottom: int = 26

    @property
    def plot_width(self) -> int:
        return self.width - self.left - self.right

    @property
    def plot_height(self) -> int:
        return self.height - self.top - self.bottom


def lines(
    series: Sequence[Curve],
    *,
    title: str,
    x_label: str = "",
    percent: bool = False,
    from_zero: bool = False,
    width: int = 520,
    height: int = 200,
) -> Markup:
    """A line chart, with a legend below it for several lines; screen readers read `title` out. Empty without points."""
    shown = [Curve(one.name, _thinned(_finite(one.points))) for one in series]
    shown = [one for one in shown if one.points]
    if not shown:
        return Markup("")
    num_rows = math.ceil(len(shown) / 3) if len(shown) > 1 else 0  # a single line needs no legend
    frame = Frame(width, height + 18 * num_rows, bottom=(30 if x_label else 22) + 18 * num_rows)
    xs = [x for one in shown for x, _ in one.points]
    ys = [y for one in shown for _, y in one.points]
    x_ticks = ticks(min(xs), max(xs), 5)
    y_ticks = ticks(0.0 if from_zero else min(ys), max(ys), 4)
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1e-9)
    y_low, y_high = min(y_ticks[0], min(ys)), max(y_ticks[-1], max(ys))
    y_high = y_high if y_high > y_low else y_low + 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            frame.left + (x - x_low) / (x_high - x_low) * frame.plot_width,
            frame.top + (1 - (y - y_low) / (y_high - y_low)) * frame.plot_height,
        )

    parts = [_grid(frame, x_ticks, y_ticks, place, percent=percent, x_low=x_low, x_high=x_high)]
    if x_label:
        parts.append(_text(frame.left + frame.plot_width / 2, frame.top + frame.plot_height + 28, x_label, "middle"))
    for index, one in enumerate(shown):
        colour = PALETTE[index % len(PALETTE)]
        parts.append(_line(one, colour, place))
        if not num_rows:
            continue
        x = frame.left + (index % 3) * (frame.plot_width / 3)
        y = frame.height - 18 * (num_rows - index // 3) + 10
        parts.append(Markup('<rect x="{:.1f}" y="{:.1f}" width="10" height="3" fill="{}"/>').format(x, y - 5, colour))
        parts.append(_text(x + 14, y, _shortened(one.name, 26), "start"))
    return _svg(frame, title, parts)


def intervals(
    rows: Sequence[tuple[str, float | None, tuple[float, float] | None]],
    *,
    title: str,
    width: int = 520,
    label_width: int = 170,
) -> Markup:
    """Shares (0 to 1) as dots with their intervals, a row each, on a common axis from 0% to 100%."""
    frame = Frame(width, 26 + 22 * len(rows), left=label_width, right=52, top=4, bottom=22)
    parts: list[Markup] = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = frame.left + tick * frame.plot_width
        parts.append(_rule(x, frame.top, x, frame.top + frame.plot_height))
        parts.append(_text(x, frame.height - 6, f"{tick:.0%}", "middle"))
    for index, (name, value, interval) in enumerate(rows):
        y = frame.top + 11 + 22 * index
        parts.append(_text(frame.left - 8, y + 4, _shortened(name, label_width // 6), "end"))
        if value is None:
            parts.append(_text(frame.left + 4, y + 4, "not measured", "start"))
            continue
        x = frame.left + value * frame.plot_width
        if interval is not None:
            low, high = (frame.left + bound * frame.plot_width for bound in interval)
            parts.append(
                Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" stroke="{}" stroke-width="3"/>').format(
                    low, y, high, y, PALETTE[0]
                )
            )
        parts.append(Markup('<circle cx="{:.1f}" cy="{:.1f}" r="4" fill="{}"/>').format(x, y, PALETTE[0]))
        parts.append(_text(frame.width - frame.right + 8, y + 4, f"{value:.1%}", "start"))
    return _svg(frame, title, parts)


def histogram(
    counts: Sequence[int], *, title: str, x_label: str = "", y_label: str = "", width: int = 520, height: int = 150
) -> Markup:
    """How many values lie in each step of equal width from 0% to 100%."""
    frame = Frame(width, height, bottom=34, top=24)
    top = max(max(counts, default=0), 1)
    parts = [_text(4, 11, y_label, "start")]
    for tick in (0, top):
        y = frame.top + (1 - tick / top) * frame.plot_height
        parts += [
            _rule(frame.left, y, frame.left + frame.plot_width, y),
            _text(frame.left - 6, y + 4, f"{tick:,}", "end"),
        ]
    step = frame.plot_width / max(len(counts), 1)
    for index, count in enumerate(counts):
        tall = count / top * frame.plot_height
        where = (frame.left + index * step + 1, frame.top + frame.plot_height - tall, step - 2, tall)
        parts.append(
            Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="{}"><title>').format(
                *where, PALETTE[0]
            )
        )
        parts.append(
            Markup("{:.0%} to {:.0%}: {:,}</title></rect>").format(
                index / len(counts), (index + 1) / len(counts), count
            )
        )
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(_text(frame.left + share * frame.plot_width, frame.height - 20, f"{share:.0%}", "middle"))
    parts.append(_text(frame.left + frame.plot_width / 2, frame.height - 5, x_label, "middle"))
    return _svg(frame, title, parts)


def matrix(
    rows: Sequence[str], columns: Sequence[str], cells: Mapping[tuple[str, str], float], *, title: str
) -> Markup:
    """Shares (0 to 1) of pairs of a row and a column as squares, the darker the larger. Empty without rows."""
    if not rows:
        return Markup("")
    side, left, top = 22, 170, 130
    frame = Frame(left + side * len(columns) + 40, top + side * len(rows) + 8, left=left, top=top)
    parts = [_text(left - 8, top + side * at + 15, _shortened(name, left // 7), "end") for at, name in enumerate(rows)]
    for at, name in enumerate(columns):
        x = left + side * at + 15
        parts.append(
            Markup('<text transform="translate({} {}) rotate(-60)">{}</text>').format(x, top - 6, _shortened(name, 22))
        )
    for row, name in enumerate(rows):
        for column, other in enumerate(columns):
            value = cells.get((name, other))
            where = (left + side * column, top + side * row, side - 2, side - 2)
            if value is None:
                parts.append(
                    Markup('<rect x="{}" y="{}" width="{}" height="{}" fill="currentColor" opacity="0.06"/>').format(
                        *where
                    )
                )
                continue
            parts.append(
                Markup('<rect x="{}" y="{}" width="{}" height="{}" fill="{}" opacity="{:.2f}"><title>').format(
                    *where, PALETTE[1], 0.25 + 0.75 * value
                )
                + Markup("{} taken for {}: {:.0%}</title></rect>").format(name, other, value)
            )
    return _svg(frame, title, parts)


def bar(value: float, *, title: str = "", width: int = 120, height: int = 8) -> Markup:
    """A bar for a share (0 to 1)."""
    filled = max(0.0, min(1.0, value)) * width
    frame = Frame(width, height)
    parts = [
        Markup('<rect width="{}" height="{}" rx="3" fill="currentColor" opacity="0.15"/>').format(width, height),
        Markup('<rect width="{:.1f}" height="{}" rx="3" fill="{}"/>').format(filled, height, PALETTE[0]),
    ]
    return _svg(frame, title or f"{value:.0%}", parts)


def ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers from at most `low` to at least `high`."""
    if not high > low:
        high = low + (abs(low) or 1.0) * 0.1
    raw = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first = math.floor(low / step)
    return [round(index * step, 12) for index in range(first, math.ceil(high / step) + 1)]


def _grid(
    frame: Frame,
    x_ticks: Sequence[float],
    y_ticks: Sequence[float],
    place: Callable[[float, float], tuple[float, float]],
    *,
    percent: bool,
    x_low: float,
    x_high: float,
) -> Markup:
    parts = []
    for tick in y_ticks:
        _, y = place(x_low, tick)
        parts.append(_rule(frame.left, y, frame.left + frame.plot_width, y))
        parts.append(_text(frame.left - 6, y + 4, f"{100 * tick:g}%" if percent else f"{tick:g}", "end"))
    for tick in x_ticks:
        if x_low <= tick <= x_high:
            x, _ = place(tick, y_ticks[0])
            parts.append(_text(x, frame.top + frame.plot_height + 14, f"{tick:,g}", "middle"))
    return Markup("").join(parts)


def _line(series: Curve, colour: str, place: Callable[[float, float], tuple[float, float]]) -> Markup:
    placed = [place(x, y) for x, y in series.points]
    if len(placed) == 1:
        (x, y) = placed[0]
        return Markup('<circle cx="{:.1f}" cy="{:.1f}" r="3" fill="{}"/>').format(x, y, colour)
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    return Markup('<polyline points="{}" fill="none" stroke="{}" stroke-width="1.6" stroke-linejoin="round"/>').format(
        points, colour
    )


def _rule(x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup(
        '<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" stroke="currentColor" stroke-opacity="0.15"/>'
    ).format(x1, y1, x2, y2)


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, escape(text))


def _svg(frame: Frame, title: str, parts: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" '
        'aria-label="{title}" {font}><title>{title}</title>{parts}</svg>'
    ).format(w=frame.width, h=frame.height, title=title, font=_FONT, parts=Markup("").join(parts))


def _finite(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `_MAX_POINTS` points, the first and the last included."""
    if len(points) <= _MAX_POINTS:
        return list(points)
    step = (len(points) - 1) / (_MAX_POINTS - 1)
    return [points[round(index * step)] for index in range(_MAX_POINTS)]


def _shortened(text: str, max_chars: int) -> str:
    return text if len(text) <= max_chars else text[: max_chars - 1] + "…"
