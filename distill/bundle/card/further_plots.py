"""Plots of what was measured beside accuracy: unknown images, domains and corruptions."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from distill.bundle.card.further import CORRUPTIONS_PLOT, DOMAINS_PLOT, OPEN_SET_PLOT
from distill.bundle.card.plot_names import row_name, set_row_names
from distill.bundle.card.plots import COLOURS, PARTS, save_figure
from distill.json_types import CorruptionsJSON, DomainShiftsJSON, EvaluatedPart, EvaluationJSON, OpenSetJSON

SCORE_COLOURS = {"cosine": "#2f6f9f", "energy": "#7a4fa3", "outliers": "#2e8b57"}
BASELINE = "#777777"
ROW_INCHES = 0.34


def draw_further(evaluation: EvaluationJSON, folder: Path) -> None:
    """Write a PNG for each result that the evaluation has (`distill.bundle.card.further.further_plots`)."""
    if open_set := evaluation.get("open_set"):
        _draw_open_set(open_set, folder / OPEN_SET_PLOT)
    if domains := evaluation.get("domains"):
        _draw_domains(domains, folder / DOMAINS_PLOT)
    if corruptions := evaluation.get("corruptions"):
        _draw_corruptions(corruptions, folder / CORRUPTIONS_PLOT)


def _draw_open_set(open_set: OpenSetJSON, path: Path) -> None:
    """The ROC curve of each score, one panel for each kind of unknown images."""
    unknown = open_set["unknown"]
    figure = Figure(figsize=(4.6 * len(unknown), 4.8), layout="constrained")
    for column, one in enumerate(unknown, start=1):
        axes = figure.add_subplot(1, len(unknown), column)
        axes.plot([0, 100], [0, 100], color="black", linewidth=0.8, linestyle=":")
        for score in one["scores"]:
            steps = [100 * at / (len(score["roc"]) - 1) for at in range(len(score["roc"]))]
            label = f"{score['score']}: AUROC {score['auroc']:.1%}"
            accepted = [100 * value for value in score["roc"]]
            axes.plot(steps, accepted, color=SCORE_COLOURS[score["score"]], linewidth=1.4, label=label)
        axes.axhline(95, color="black", linewidth=0.6, linestyle="--")
        axes.set(xlim=(0, 100), ylim=(0, 101), xlabel="unknown images accepted, %", ylabel="known images accepted, %")
        axes.set_title(f"{one['kind']} unknowns: {one['source']}\n({one['num_images']:,} images)", fontsize=10)
        axes.title.set_parse_math(False)  # a "$" in a name is not math
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right", fontsize=8, frameon=False)
    save_figure(figure, path)


def _draw_domains(domains: DomainShiftsJSON, path: Path) -> None:
    """The accuracy in each domain as a bar, and that on the same labels in the domain of the training as a mark."""
    shown: list[tuple[EvaluatedPart, Sequence[tuple[str, float, float]]]] = [
        (part, [(one["name"], one["accuracy"], one["training_domain"]) for one in shift["domains"]])
        for part in PARTS
        if (shift := domains.get(part))
    ]
    rows = max((len(of_part) for _, of_part in shown), default=1)
    figure = Figure(figsize=(6 * max(1, len(shown)), 1.3 + ROW_INCHES * max(rows, 2)), layout="constrained")
    for column, (part, of_part) in enumerate(shown, start=1):
        axes = figure.add_subplot(1, len(shown), column)
        places = range(len(of_part))
        axes.barh(places, [100 * accuracy for _, accuracy, _ in of_part], color=COLOURS[part], height=0.7)
        training = [100 * accuracy for _, _, accuracy in of_part]
        axes.scatter(training, places, marker="|", s=220, color="black", label="domain of the training", zorder=3)
        set_row_names(axes, places, [row_name(name, number) for number, (name, _, _) in enumerate(of_part, start=1)])
        axes.set(xlim=(0, 102), ylim=(len(of_part) - 0.4, -0.6), xlabel="accuracy, %")
        axes.set_title(PARTS[part], fontsize=10)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.32), fontsize=8, frameon=False)
    save_figure(figure, path)


def _draw_corruptions(corruptions: CorruptionsJSON, path: Path) -> None:
    """The error of each kind, from strength 1 to 5, with the clean error and the mean error of the baseline."""
    shown = [(part, errors) for part in PARTS if (errors := corruptions.get(part))]
    rows = max((len(errors["kinds"]) for _, errors in shown), default=1)
    figure = Figure(figsize=(6.2 * max(1, len(shown)), 1.4 + 0.26 * rows), layout="constrained")
    for column, (part, errors) in enumerate(shown, start=1):
        axes = figure.add_subplot(1, len(shown), column)
        kinds = errors["kinds"]
        for place, kind in enumerate(kinds):
            values = [100 * one for one in kind["errors"]]
            axes.plot([min(values), max(values)], [place, place], color=COLOURS[part], linewidth=1, alpha=0.5)
            sizes = [8 + 9 * strength for strength in range(len(values))]
            axes.scatter(values, [place] * len(values), s=sizes, color=COLOURS[part], alpha=0.8, zorder=3)
        _draw_baseline(axes, part, corruptions)
        axes.axvline(100 * errors["clean_error"], color="black", linewidth=1)
        axes.set_yticks(range(len(kinds)), [kind["kind"].replace("_", " ") for kind in kinds], fontsize=8)
        axes.set(xlim=(-2, 102), ylim=(len(kinds) - 0.4, -0.6), xlabel="error, % (larger points: stronger corruption)")
        axes.grid(alpha=0.3, axis="x")
        title = f"{PARTS[part]}\nmean {errors['mean_error']:.1%}, without corruption {errors['clean_error']:.1%} (line)"
        axes.set_title(title, fontsize=10)
    save_figure(figure, path)


def _draw_baseline(axes: Axes, part: EvaluatedPart, corruptions: CorruptionsJSON) -> None:
    """The mean error of the baseline under each kind, which knows the seen labels alone."""
    if part != "id" or (baseline := corruptions["baseline"]) is None:
        return
    values = [100 * kind["error"] for kind in baseline["kinds"]]
    axes.scatter(
        values, range(len(values)), marker="|", s=120, color=BASELINE, label="closed-set baseline, mean", zorder=2
    )
    axes.legend(loc="lower right", fontsize=8)
