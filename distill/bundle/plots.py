"""The pictures of a bundle: how the loss fell, how well each label is recognised, how surely, and what it is taken for.

Drawn by matplotlib without a display or a global state, the same bytes for the same numbers. K labels.
"""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from distill.data.atomic_files import replacing

NAMED_LABELS = 60
"""Up to this many labels each have a bar with their name; more are drawn as one sorted curve."""

CURVE_POINTS = 2000
LABEL_LETTERS = 40
COLOURS = {"id": "#2f6f9f", "ood": "#c2571a"}
PARTS = {"id": "labels trained on, held-out images", "ood": "labels never seen"}


def read_curve(training_log: Path) -> dict[str, list[tuple[float, float]]]:
    """Each loss of a training log (JSON lines) as (step, value) pairs: `loss`, and the terms below `losses`.

    Lines without a step or a loss, such as evaluations, are passed over, and so is a last line cut short.
    """
    curves: dict[str, list[tuple[float, float]]] = {}
    with training_log.open(encoding="utf-8") as lines:
        for line in lines:
            entry = _entry(line)
            if not _is_number(entry.get("step")) or not _is_number(entry.get("loss")):
                continue
            terms = entry.get("losses")
            for name, value in {"loss": entry["loss"], **(terms if isinstance(terms, dict) else {})}.items():
                if _is_number(value):
                    curves.setdefault(name, []).append((float(entry["step"]), float(value)))
    return curves


def draw_loss(curves: Mapping[str, list[tuple[float, float]]], path: Path) -> None:
    """Loss over steps as a PNG, the sum thick and its terms thin, thinned out to what a picture can show."""
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
        axes.text(0.5, 0.5, "no step was logged", ha="center", transform=axes.transAxes)
    axes.set(xlabel="step", ylabel="training loss")
    axes.grid(alpha=0.3)
    _save(figure, path)


def draw_accuracy(parts: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Accuracy of each label as a PNG, one panel for each part of an evaluation (`id`, `ood`), with its chance level.

    `parts`: by name, with `per_label` (accuracy in 0..1 by label), `accuracy` and `chance`.
    """
    shown = {name: part for name, part in parts.items() if name in PARTS and part.get("per_label")}
    bars = [len(part["per_label"]) for part in shown.values() if len(part["per_label"]) <= NAMED_LABELS]
    figure = Figure(
        figsize=(6 * max(1, len(shown)), 1.5 + 0.2 * max(bars + [12 if bars else 24])), layout="constrained"
    )
    for column, (name, part) in enumerate(shown.items(), start=1):
        axes = figure.add_subplot(1, len(shown), column)
        ranked = sorted(part["per_label"].items(), key=lambda item: (item[1], item[0]))
        values = [100 * float(value) for _, value in ranked]
        if len(ranked) <= NAMED_LABELS:
            axes.barh(range(len(ranked)), values, color=COLOURS[name])
            axes.set_yticks(range(len(ranked)), [_short(label) for label, _ in ranked], fontsize=7)
            for text in axes.get_yticklabels():
                text.set_parse_math(False)
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


def draw_reliability(parts: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Accuracy over confidence as a PNG, a point for each bin, as large as it has images; on the diagonal, all is well.

    `parts`: by name, with `calibration` as in an evaluation.
    """
    figure = Figure(figsize=(5.2, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 100], [0, 100], color="black", linewidth=0.8, linestyle=":")
    shown = {name: part["calibration"] for name, part in parts.items() if name in PARTS and part.get("calibration")}
    for name, found in shown.items():
        most = max(one["num_images"] for one in found["bins"])
        sure, right = ([100 * one[what] for one in found["bins"]] for what in ("confidence", "accuracy"))
        axes.plot(sure, right, color=COLOURS[name], linewidth=1)
        sizes = [12 + 90 * one["num_images"] / most for one in found["bins"]]
        axes.scatter(sure, right, s=sizes, color=COLOURS[name], label=f"{PARTS[name]}: error {found['error']:.1%}")
    axes.set(xlim=(0, 100), ylim=(0, 100), xlabel="confidence, %", ylabel="accuracy, %")
    axes.grid(alpha=0.3)
    if shown:
        first = next(iter(shown.values()))
        axes.set_title(f"{first['num_bins']} bins, temperature {first['temperature']:g}", fontsize=10)
        axes.legend(loc="upper left", fontsize=8)
    _save(figure, path)


def draw_confusions(parts: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """The most frequent confusions as a PNG, a bar for each pair, as long as the share of the label's images.

    `parts`: by name, with `confusions` as in an evaluation.
    """
    shown = {name: part["confusions"] for name, part in parts.items() if name in PARTS and part.get("confusions")}
    rows = max([len(pairs) for pairs in shown.values()] or [8])
    figure = Figure(figsize=(7 * max(1, len(shown)), 1.3 + 0.24 * rows), layout="constrained")
    for column, (name, pairs) in enumerate(shown.items(), start=1):
        axes = figure.add_subplot(1, len(shown), column)
        ranked = pairs[::-1]
        axes.barh(range(len(ranked)), [100 * pair["share"] for pair in ranked], color=COLOURS[name])
        said = [f"{_short(pair['label'])} → {_short(pair['taken_for'])}" for pair in ranked]
        axes.set_yticks(range(len(ranked)), said, fontsize=7)
        for text in axes.get_yticklabels():
            text.set_parse_math(False)
        axes.set(xlim=(0, 100), xlabel="share of the label's images, %", title=PARTS[name])
    if not shown:
        figure.add_subplot().text(0.5, 0.5, "no image was taken for another label", ha="center")
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    with replacing(path) as draft, warnings.catch_warnings():
        # Labels come in every script; a letter that the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(draft, format="png", dpi=110, metadata={"Software": None})


def _short(label: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in label)
    return printable if len(printable) <= LABEL_LETTERS else printable[: LABEL_LETTERS - 1] + "…"


def _entry(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
