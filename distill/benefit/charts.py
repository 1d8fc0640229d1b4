"""The result of `distill.benefit` as a Markdown table and as a chart with an interval for every arm."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from distill.data.atomic_files import replacing
from distill.json_types import ArmPartJSON, BenefitReportJSON, EvaluatedPart, GainJSON

COLOURS = {"baseline": "#7a7a7a", "control": "#c2571a", "attributes": "#2f6f9f", "nameless": "#8fb6d0"}
ROLES = {
    "baseline": "names",
    "control": "no or wrong information",
    "attributes": "attributes",
    "nameless": "attributes without the name",
}
TITLES: dict[EvaluatedPart, str] = {"id": "seen labels, held-out images", "ood": "unseen labels"}


def markdown_table(report: BenefitReportJSON) -> str:
    """One row per arm: accuracy in percent, and the gain over the control with its interval over labels.

    `report`: `distill.benefit.run.BenefitReport.as_json()`.
    """
    parts = [part for part in TITLES if part in report["num_images"]]
    head = ["", "texts", *(f"{TITLES[part]}, %" for part in parts), *(f"over waffle, {part}" for part in parts)]
    rows = [head, ["---"] + ["--:"] * (len(head) - 1)]
    for arm in report["arms"]:
        results = [result for part in parts if (result := arm[part])]
        gains = [_gain(result["over_control"]) for result in results]
        name = f"**{arm['name']}**" if arm["name"] == report["chosen"] else arm["name"]
        rows.append([name, f"{arm['num_texts']:,}", *(_accuracy(result) for result in results), *gains])
    rows.append(["chance", "", *(f"{100 * report['chance'][part]:.1f}" for part in parts), *("" for _ in parts)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _accuracy(result: ArmPartJSON) -> str:
    draws = result["draws"]
    spread = f" ({100 * min(draws):.1f} to {100 * max(draws):.1f})" if len(draws) > 1 else ""
    return f"{100 * result['accuracy']:.1f}{spread}"


def _gain(gain: GainJSON | None) -> str:
    if gain is None:
        return ""
    low, high = gain["labels"]
    return f"{100 * gain['mean']:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def draw_chart(report: BenefitReportJSON, path: Path) -> None:
    """Write a PNG: accuracy of every arm by part, and the 95% interval (over labels) of its gain over the control."""
    parts = [part for part in TITLES if part in report["num_images"]]
    arms = list(reversed(report["arms"]))
    figure = Figure(figsize=(6.2 * len(parts) + 1.5, 1.6 + 0.27 * len(arms)), layout="constrained")
    for column, part in enumerate(parts, start=1):
        axes = figure.add_subplot(1, len(parts), column)
        for row, arm in enumerate(arms):
            result = arm[part]
            assert result is not None
            axes.barh(row, 100 * result["accuracy"], color=COLOURS[arm["role"]], height=0.7)
            if (gain := result["over_control"]) is not None:
                control = result["accuracy"] - gain["mean"]
                low, high = (100 * min(1.0, max(0.0, control + bound)) for bound in gain["labels"])
                axes.plot([low, high], [row, row], color="black", linewidth=1)
        axes.axvline(100 * report["chance"][part], color="black", linestyle=":", linewidth=1)
        axes.set_yticks(range(len(arms)), [arm["name"] for arm in arms] if column == 1 else [], fontsize=8)
        axes.set(xlim=(0, 100), xlabel="mean per-class accuracy, %", title=TITLES[part])
    swatches = [Patch(color=COLOURS[role], label=title) for role, title in ROLES.items()]
    figure.legend(handles=swatches, loc="outside lower center", ncols=len(ROLES), fontsize=8, frameon=False)
    FigureCanvasAgg(figure)
    with replacing(path) as draft:
        figure.savefig(draft, dpi=130, format="png", metadata={"Software": None})
