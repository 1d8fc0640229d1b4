"""The plots of a bundle: training loss, accuracy of each label, reliability, and the most frequent confusions.

Drawn by matplotlib without a display and without global state. The same numbers give the same bytes.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeGuard

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from distill.data.atomic_files import replacing
from distill.json_types import EvaluatedPart, JSONObject, LabelSetJSON

MAX_BARS = 60
"""Up to this many labels have one bar each, with their name; more are drawn as one sorted curve."""

CURVE_POINTS = 2000
MAX_LABEL_LENGTH = 40
COLOURS: dict[EvaluatedPart, str] = {"id": "#2f6f9f", "ood": "#c2571a"}
PARTS: dict[EvaluatedPart, str] = {"id": "seen labels, held-out images", "ood": "unseen labels"}

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
    _save(figure, path)


def draw_accuracy(parts: EvaluationParts, path: Path) -> None:
    """Write a PNG of the accuracy of each label, one panel per part, with the chance level.

    Reads `per_label` (accuracy in 0..1 by label), `accuracy` and `chance` of each part.
    """
    shown = {name: part for name, part in parts.items() if name in PARTS and part.get("per_label")}
    bars = [len(part["per_label"]) for part in shown.values() if len(part["per_label"]) <= MAX_BARS]
    figure = Figure(
        figsize=(6 * max(1, len(shown)), 1.5 + 0.2 * max(bars + [12 if bars else 24])), layout="constrained"
    )
    for column, (name, part) in enumerate(shown.items(), start=1):
        axes = figure.add_subplot(1, len(shown), column)
        ranked = sorted(part["per_label"].items(), key=lambda item: (item[1], item[0]))
        values = [100 * float(value) for _, value in ranked]
        if len(ranked) <= MAX_BARS:
            axes.barh(range(len(ranked)), values, color=COLOURS[name])
            _set_row_names(axes, [_shorten(label) for label, _ in ranked])
            axes.set_ylim(-0.6, len(ranked) - 0.4)
        else:
            axes.fill_betweenx(range(len(ranked)), values, color=COLOURS[name], step="mid", linewidth=0)
            axes.set(ylabel=f"{len(ranked)} labels, sorted", ylim=(0, len(ranked) - 1))
        axes.axvline(100 * part["accuracy"], color="black", label=f"mean {100 * part['accuracy']:.1f}%")
        axes.axvline(100 * part["chance"], color="black", linestyle=":", label=f"chance {100 * part['chance']:.1f}%")
        axes.set(xlim=(0, 100), xlabel="accuracy, %", title=PARTS[name])
        axes.legend(loc="lower right", fontsize=8)
    if not shown:
        figure.add_subplot().text(0.5, 0.5, "nothing was evaluated", ha="center")
    _save(figure, path)


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
        axes.scatter(confidence, accuracy, s=sizes, color=COLOURS[name], label=label)
    axes.set(xlim=(0, 100), ylim=(0, 100), xlabel="confidence, %", ylabel="accuracy, %")
    axes.grid(alpha=0.3)
    if shown:
        first = next(iter(shown.values()))
        axes.set_title(f"{first['num_bins']} bins, temperature {first['temperature']:g}", fontsize=10)
        axes.legend(loc="upper left", fontsize=8)
    _save(figure, path)


def draw_confusions(parts: EvaluationParts, path: Path) -> None:
    """Write a PNG of the most frequent confusions: one bar per pair, as long as the share of the label's images.

    Reads `confusions` of each part.
    """
    shown = {name: part["confusions"] for name, part in parts.items() if name in PARTS and part.get("confusions")}
    rows = max([len(pairs) for pairs in shown.values()] or [8])
    figure = Figure(figsize=(7 * max(1, len(shown)), 1.3 + 0.24 * rows), layout="constrained")
    for column, (name, pairs) in enumerate(shown.items(), start=1):
        axes = figure.add_subplot(1, len(shown), column)
        ranked = pairs[::-1]
        axes.barh(range(len(ranked)), [100 * pair["share"] for pair in ranked], color=COLOURS[name])
        _set_row_names(axes, [f"{_shorten(pair['label'])} → {_shorten(pair['taken_for'])}" for pair in ranked])
        axes.set(xlim=(0, 100), xlabel="share of the label's images, %", title=PARTS[name])
    if not shown:
        figure.add_subplot().text(0.5, 0.5, "no image was confused", ha="center")
    _save(figure, path)


def _set_row_names(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names, fontsize=7)
    for text in axes.get_yticklabels():
        text.set_parse_math(False)  # a "$" in a label is not math


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    with replacing(path) as draft, warnings.catch_warnings():
        # Labels come in every script; a glyph that the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(draft, format="png", dpi=110, metadata={"Software": None})


def _shorten(label: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in label)
    return printable if len(printable) <= MAX_LABEL_LENGTH else printable[: MAX_LABEL_LENGTH - 1] + "…"


def _parse_line(line: str) -> JSONObject:
    """A line of the log; empty if it is not a JSON object."""
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
