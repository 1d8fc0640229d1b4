"""The plots of a bundle: training loss, accuracy of the labels, reliability, and the most frequent confusions.

Drawn by matplotlib without a display and without global state. The same numbers give the same bytes. Every plot is
readable for any number of labels: few are drawn one by one, of many the distribution and the worst and best labels.
"""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TypeGuard

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from distill.bundle.card.metrics import frequent_confusions, num_wrong
from distill.bundle.card.plot_names import NUMBERED, row_name, set_row_names
from distill.data.atomic_files import replacing
from distill.json_types import EvaluatedPart, JSONObject, LabelSetJSON

MAX_BARS = 40
"""Up to this many labels have one bar each; of more, the worst and the best have one."""
NUM_WORST, NUM_BEST = 25, 8
NUM_STEPS = 20
"""Steps of the histogram of label accuracies."""
LTR = "\N{LEFT-TO-RIGHT MARK}"
"""Keeps a pair in its order, also if a name is Arabic or Hebrew."""

CURVE_POINTS = 2000
COLOURS: dict[EvaluatedPart, str] = {"id": "#2f6f9f", "ood": "#c2571a"}
PARTS: dict[EvaluatedPart, str] = {"id": "seen labels, held-out images", "ood": "unseen labels"}
ROW_INCHES, PANEL_INCHES = 0.19, 6.5

EvaluationParts = Mapping[EvaluatedPart, LabelSetJSON]
"""The parts `id` and `ood` of `distill.evaluation.accuracy.Evaluation.as_json()`."""


def read_curve(training_log: Path) -> dict[str, list[tuple[float, float]]]:
    """The losses of a training log (JSON lines) as (step, value) pairs: `loss`, and each term in `losses`.

    Lines without a step or a loss, such as evaluations, and an incomplete last line are ignored.
    """
    curves: dict[str, list[tuple[float, float]]] = {}
    with training_log.open(encoding="utf-8") as lines:
        for line in lines:
            entry = _parse_line(line)
            step, loss, terms = entry.get("step"), entry.get("loss"), entry.get("losses")
            if not _is_number(step) or not _is_number(loss):
                continue
            for name, value in {"loss": loss, **(terms if isinstance(terms, dict) else {})}.items():
                if _is_number(value):
                    curves.setdefault(name, []).append((float(step), float(value)))
    return curves


def draw_loss(curves: Mapping[str, list[tuple[float, float]]], path: Path) -> None:
    """Write a PNG of loss over steps: the sum as a thick line, its terms as thin lines, about 2,000 points per line."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for name, points in curves.items():
        shown = points[:: max(1, len(points) // CURVE_POINTS)]
        steps, values = zip(*shown, strict=True)
        label = "sum" if name == "loss" else name
        axes.plot(
            steps,
            values,
            linewidth=1.6 if name == "loss" else 1,
            label=label,
            color="black" if name == "loss" else None,
        )
    if curves:
        axes.legend(frameon=False)
    else:
        axes.text(0.5, 0.5, "no steps were logged", ha="center", transform=axes.transAxes)
    axes.set(xlabel="step", ylabel="training loss")
    axes.grid(alpha=0.3)
    save_figure(figure, path)


def draw_accuracy(parts: EvaluationParts, path: Path, measure: str = "accuracy") -> None:
    """Write a PNG of the accuracy (or another `measure`) of the labels, one column per part, with the chance level.

    Above: how many labels have which accuracy, for more than a few labels. Below: one bar for each label, or for the
    worst and the best. Reads `per_label` (accuracy in 0..1 by label), `accuracy` and `chance` of each part.
    """
    shown = {name: part for name, part in parts.items() if name in PARTS and part.get("per_label")}
    if not shown:
        _draw_note("nothing was evaluated", path)
        return
    rows = max(len(bar_rows(part)) for part in shown.values())
    has_many = any(_has_many(part) for part in shown.values())
    heights = [2.0, ROW_INCHES * rows + 0.6] if has_many else [ROW_INCHES * max(rows, 4) + 0.6]
    figure = Figure(figsize=(PANEL_INCHES * len(shown), sum(heights) + 0.7), layout="constrained")
    grid = figure.add_gridspec(len(heights), len(shown), height_ratios=heights)
    for column, (name, part) in enumerate(shown.items()):
        bars = figure.add_subplot(grid[-1, column])
        _draw_bars(bars, name, part, num_rows=rows, measure=measure)
        top = bars
        if has_many:
            top = figure.add_subplot(grid[0, column])
            _draw_histogram(top, name, part)
        top.set_title(f"{PARTS[name]}\n{_levels(part)}", fontsize=10)
    _explain_numbers(figure)
    save_figure(figure, path)


def _has_many(part: LabelSetJSON) -> bool:
    return len(part["per_label"]) > MAX_BARS


def bar_rows(part: LabelSetJSON) -> list[tuple[str, float] | None]:
    """Name and accuracy of each bar, best first; None is the gap between the best and the worst."""
    numbered = enumerate(part["per_label"].items(), start=1)
    ranked = sorted(((value, label, number) for number, (label, value) in numbered), reverse=True)
    rows: list[tuple[str, float] | None] = [(row_name(label, number), value) for value, label, number in ranked]
    return [*rows[:NUM_BEST], None, *rows[-NUM_WORST:]] if _has_many(part) else rows


def _draw_bars(axes: Axes, name: EvaluatedPart, part: LabelSetJSON, *, num_rows: int, measure: str) -> None:
    rows = bar_rows(part)
    places = [place for place, row in enumerate(rows) if row is not None]
    names, values = zip(*(row for row in rows if row is not None), strict=True)
    axes.barh(places, [100 * value for value in values], color=COLOURS[name], height=0.75)
    set_row_names(axes, places, names)
    if None in rows:
        hidden = len(part["per_label"]) - len(places)
        axes.text(2, rows.index(None), f"… {hidden:,} more …", va="center", fontsize=7)
    # Bars of two parts side by side have the same height; the first row is on top.
    axes.set(xlim=(0, 100), ylim=(num_rows - 0.4, -0.6), xlabel=f"{measure}, %")
    _draw_levels(axes, part)


def _draw_histogram(axes: Axes, name: EvaluatedPart, part: LabelSetJSON) -> None:
    values = [100 * value for value in part["per_label"].values()]
    axes.hist(values, bins=NUM_STEPS, range=(0, 100), color=COLOURS[name], rwidth=0.9)
    _draw_levels(axes, part)
    axes.set(xlim=(0, 100), ylabel=f"number of labels\n(of {len(values):,})")


def _draw_levels(axes: Axes, part: LabelSetJSON) -> None:
    """Lines at the mean accuracy and at chance."""
    for value, style in ((part["accuracy"], "-"), (part["chance"], ":")):
        axes.axvline(100 * value, color="black", linewidth=1, linestyle=style)


def _levels(part: LabelSetJSON) -> str:
    return f"mean {100 * part['accuracy']:.1f}% (line), chance {100 * part['chance']:.3g}% (dotted)"


def draw_reliability(parts: EvaluationParts, path: Path) -> None:
    """Write a PNG of accuracy over confidence: one point per bin, sized by its number of images.

    Points on the diagonal are calibrated. Reads `calibration` of each part.
    """
    figure = Figure(figsize=(5.2, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 100], [0, 100], color="black", linewidth=0.8, linestyle=":")
    shown = {name: part["calibration"] for name, part in parts.items() if name in PARTS and part.get("calibration")}
    for name, calibration in shown.items():
        bins = calibration["bins"]
        most = max(each["num_images"] for each in bins)
        confidence, accuracy = ([100 * each[key] for each in bins] for key in ("confidence", "accuracy"))
        axes.plot(confidence, accuracy, color=COLOURS[name], linewidth=1)
        sizes = [12 + 90 * each["num_images"] / most for each in bins]
        label = f"{PARTS[name]}: error {calibration['error']:.1%}"
        axes.scatter(confidence, accuracy, s=sizes, color=COLOURS[name], label=label, clip_on=False, zorder=3)
    axes.set(xlim=(0, 100), ylim=(0, 100), xlabel="confidence, %", ylabel="accuracy, %")
    axes.grid(alpha=0.3)
    if shown:
        first = next(iter(shown.values()))
        axes.set_title(f"{first['num_bins']} bins, temperature {first['temperature']:g}", fontsize=10)
        axes.legend(loc="upper left", fontsize=8)
    save_figure(figure, path)


def draw_confusions(parts: EvaluationParts, path: Path) -> None:
    """Write a PNG of the most frequent confusions: one bar per pair, as long as the share of the label's images.

    A list, because a matrix of hundreds of labels shows no names. Reads `confusions` of each part.
    """
    shown = {name: part for name, part in parts.items() if name in PARTS and part.get("confusions")}
    if not shown:
        _draw_note("no image was confused", path)
        return
    rows = max(4, *(len(frequent_confusions(part)) for part in shown.values()))
    figure = Figure(figsize=(7.5 * len(shown), 1.3 + ROW_INCHES * rows), layout="constrained")
    for column, (name, part) in enumerate(shown.items(), start=1):
        _draw_pairs(figure.add_subplot(1, len(shown), column), name, part, num_rows=rows)
    _explain_numbers(figure)
    save_figure(figure, path)


def _draw_pairs(axes: Axes, name: EvaluatedPart, part: LabelSetJSON, *, num_rows: int) -> None:
    pairs = frequent_confusions(part)
    numbers = {label: number for number, label in enumerate(part.get("per_label") or (), start=1)}
    places = range(len(pairs))
    axes.barh(places, [100 * pair["share"] for pair in pairs], color=COLOURS[name], height=0.75)
    named = [[row_name(label, numbers.get(label, 0)) for label in (pair["label"], pair["taken_for"])] for pair in pairs]
    set_row_names(axes, places, [f"{LTR}{label}{LTR} → {LTR}{taken_for}" for label, taken_for in named])
    for place, pair in zip(places, pairs, strict=True):
        is_inside = pair["share"] > 0.9
        axes.annotate(
            f"{pair['num_images']:,}",
            (100 * pair["share"], place),
            xytext=(-3 if is_inside else 3, 0),
            textcoords="offset points",
            ha="right" if is_inside else "left",
            va="center",
            color="white" if is_inside else "black",
            fontsize=7,
        )
    axes.set(xlim=(0, 100), ylim=(num_rows - 0.4, -0.6), xlabel="share of the label's images, % (number of images)")
    listed, wrong = sum(pair["num_images"] for pair in pairs), num_wrong(part)
    of_all = f"\n{listed:,} of the {wrong:,} images that are classified wrongly" if wrong else ""
    axes.set_title(PARTS[name] + of_all, fontsize=10)


def _explain_numbers(figure: Figure) -> None:
    """Say what a number in the place of a name is, if there is one."""
    texts = (text.get_text() for axes in figure.axes for text in axes.get_yticklabels())
    if any(NUMBERED in text for text in texts):
        note = "number: the label's place in evaluation.json; no font of the machine that drew this has its characters"
        figure.supxlabel(note, fontsize=7)


def _draw_note(note: str, path: Path) -> None:
    figure = Figure(figsize=(6, 1.5))
    figure.text(0.5, 0.5, note, ha="center", va="center")
    save_figure(figure, path)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG whose bytes depend on the figure alone."""
    FigureCanvasAgg(figure)
    with replacing(path) as draft, warnings.catch_warnings():
        # A name in two scripts may lack a glyph in the first of its fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(draft, format="png", dpi=110, metadata={"Software": None})


def _parse_line(line: str) -> JSONObject:
    """A line of the log; empty if it is not a JSON object."""
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
