"""A proof as people look at it: a table, and a picture with an interval for every arm."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from distill.data.atomic_files import replacing

COLOURS = {"baseline": "#7a7a7a", "control": "#c2571a", "attributes": "#2f6f9f", "nameless": "#8fb6d0"}
ROLES = {
    "baseline": "names",
    "control": "says nothing, or what is wrong",
    "attributes": "attributes",
    "nameless": "attributes without the name",
}
TITLES = {"id": "seen labels, held-out images", "ood": "labels never seen"}


def table(proof: Mapping[str, Any]) -> str:
    """Markdown: an arm a row, accuracy in percent and the gain over the control with its interval over labels."""
    parts = [part for part in TITLES if part in proof["num_images"]]
    head = ["", "texts", *(f"{TITLES[part]}, %" for part in parts), *(f"over waffle, {part}" for part in parts)]
    rows = [head, ["---"] + ["--:"] * (len(head) - 1)]
    for arm in proof["arms"]:
        found = [arm[part] for part in parts]
        gains = [_gain(result["over_control"]) for result in found]
        name = f"**{arm['name']}**" if arm["name"] == proof["chosen"] else arm["name"]
        rows.append([name, f"{arm['num_texts']:,}", *(_accuracy(result) for result in found), *gains])
    rows.append(["chance", "", *(f"{100 * proof['chance'][part]:.1f}" for part in parts), *("" for _ in parts)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _accuracy(result: Mapping[str, Any]) -> str:
    draws: Sequence[float] = result["draws"]
    spread = f" ({100 * min(draws):.1f} to {100 * max(draws):.1f})" if len(draws) > 1 else ""
    return f"{100 * result['accuracy']:.1f}{spread}"


def _gain(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    low, high = found["labels"]
    return f"{100 * found['mean']:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def draw(proof: Mapping[str, Any], path: Path) -> None:
    """A PNG: accuracy of every arm by part, and the 95% interval (over labels) of its gain over the control."""
    parts = [part for part in TITLES if part in proof["num_images"]]
    arms = list(reversed(proof["arms"]))
    figure = Figure(figsize=(6.2 * len(parts) + 1.5, 1.6 + 0.27 * len(arms)), layout="constrained")
    for column, part in enumerate(parts, start=1):
        axes = figure.add_subplot(1, len(parts), column)
        for at, arm in enumerate(arms):
            result = arm[part]
            axes.barh(at, 100 * result["accuracy"], color=COLOURS[arm["role"]], height=0.7)
            if (over := result["over_control"]) is not None:
                control = result["accuracy"] - over["mean"]
                low, high = (100 * min(1.0, max(0.0, control + bound)) for bound in over["labels"])
                axes.plot([low, high], [at, at], color="black", linewidth=1)
        axes.axvline(100 * proof["chance"][part], color="black", linestyle=":", linewidth=1)
        axes.set_yticks(range(len(arms)), [arm["name"] for arm in arms] if column == 1 else [], fontsize=8)
        axes.set(xlim=(0, 100), xlabel="mean per-class accuracy, %", title=TITLES[part])
    swatches = [Patch(color=COLOURS[role], label=told) for role, told in ROLES.items()]
    figure.legend(handles=swatches, loc="outside lower center", ncols=len(ROLES), fontsize=8, frameon=False)
    FigureCanvasAgg(figure)
    with replacing(path) as draft:
        figure.savefig(draft, dpi=130, format="png", metadata={"Software": None})
