"""The part of `docs/evidence.md` on distillation and its plot, from the results of arms alone.

Written again from the same results, they are the same bytes; what the document holds of other commands stays.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.documents import put_part
from benchmarks.evidence.arms import ARMS
from benchmarks.evidence.claims import CLAIMS, PaperClaim
from benchmarks.evidence.statistics import Mean, mean_of, verdict
from distill.data.atomic_files import replacing

Result = Mapping[str, Any]
PART = "distillation"
PLOT = "evidence-distillation.png"
SECTIONS = {
    "text": "Names against attributes",
    "alone": "Each objective alone",
    "added up": "Added up in the paper's order",
    "views": "Views and augmentation",
    "weights": "Averaged and last weights",
    "language": "Captions and learned vectors",
    "others": "Terms of other methods",
    "few-shot": "Five pictures of each unseen label",
    "closed set": "The same student as a closed-set classifier",
    "recipe": "Our recipe",
}


def write_report(
    results: Sequence[Result], teacher: Mapping[str, Mapping[str, Result]], *, command: str, docs: Path
) -> None:
    """Write both into the folder `docs`. `teacher`: its evaluations as JSON, by group and text.

    Raises ValueError without a result.
    """
    if not results:
        raise ValueError("there is no result to report: run some arms")
    by_arm: dict[str, list[Result]] = {}
    for result in results:
        by_arm.setdefault(result["arm"], []).append(result)
    groups = list(results[0]["groups"])
    parts = [
        _head(results, groups, command),
        _claims(by_arm, groups[-1]),
        f"![Accuracy on unseen labels, arm by arm]({PLOT})",
        _teacher(teacher, groups),
        *(_section(name, title, by_arm, groups, teacher) for name, title in SECTIONS.items()),
        _foot(results),
    ]
    put_part(docs / "evidence.md", PART, "\n\n".join(part for part in parts if part))
    draw(by_arm, groups[-1], teacher, docs / PLOT)


def _head(results: Sequence[Result], groups: Sequence[str], command: str) -> str:
    seeds = sorted({result["seed"] for result in results})
    config, pictures = results[0]["config"], results[0]["pictures"]
    return f"""# Distillation

What each part of the method is worth, on the frozen field guide ([examples/fieldguide](../examples/fieldguide)): its
creatures are drawn by a program and its teacher is tiny, so that this says which part helps which other here, and
nothing about accuracy on photographs. Written by

```
{command}
```

Students ({config["student"]} from scratch, {config["image_px"]} px, a quarter of the pixels that the teacher sees)
learn from {pictures} pictures of each of 80 species, unless a row says otherwise, and are measured on species that they
never saw: 40 of the validation group, on which recipes were chosen, and 40 of the test group, which no choice has seen.
Seeds {", ".join(map(str, seeds))}; every figure is mean per-class accuracy of the weights handed over, a mean over
seeds ± half its 95% interval (Student's t), unless it says otherwise. Measured are {" and ".join(groups)}."""


def _claims(by_arm: Mapping[str, Sequence[Result]], group: str) -> str:
    lines = [
        f"## What holds here, and what does not\n\nDifferences on the {group} group, unseen labels, paired by seed.\n",
        "| claim | whose | difference | verdict |",
        "|---|---|---|---|",
    ]
    for claim in CLAIMS:
        differences = paired(claim, by_arm, group)
        if differences:
            found = mean_of(differences)
            lines.append(f"| {claim.says} | {claim.whose} | {_points(found)} | {verdict(differences)} |")
    return "\n".join([*lines, "", *_in_words(by_arm, group)])


def _in_words(by_arm: Mapping[str, Sequence[Result]], group: str) -> list[str]:
    """The claims by how they came out, a line for each verdict."""
    said: dict[tuple[str, str], list[str]] = {}
    for claim in CLAIMS:
        if differences := paired(claim, by_arm, group):
            said.setdefault((claim.whose, verdict(differences)), []).append(claim.says)
    return [
        f"- **{found[0].upper()}{found[1:]}** ({whose}): {'; '.join(claims)}."
        for (whose, found), claims in sorted(said.items(), key=lambda one: (one[0][1], one[0][0]))
    ]


def paired(claim: PaperClaim, by_arm: Mapping[str, Sequence[Result]], group: str) -> list[float]:
    """How much the better arm is above the worse one, for each seed that both have."""
    read = _read(group, "ood", "accuracy") if claim.better == claim.worse else lambda one: unseen(one, group)
    better = {one["seed"]: found for one in by_arm.get(claim.better, ()) if (found := unseen(one, group)) is not None}
    worse = {one["seed"]: found for one in by_arm.get(claim.worse, ()) if (found := read(one)) is not None}
    return [better[seed] - worse[seed] for seed in sorted(better.keys() & worse.keys())]


def unseen(result: Result, group: str) -> float | None:
    """Accuracy among the labels of a group, by retrieval where the arm retrieves; None where it was not measured."""
    found = result["groups"].get(group, {})
    part = found.get("retrieval") or found.get("ood")
    return None if part is None else float(part["accuracy"])


def _teacher(teacher: Mapping[str, Mapping[str, Result]], groups: Sequence[str]) -> str:
    lines = [
        "## The teacher, zero-shot\n",
        f"| text | seen | {' | '.join(f'unseen, {group}' for group in groups)} |",
        f"|---|---|{'---|' * len(groups)}",
    ]
    for text in next(iter(teacher.values())):
        found = [teacher[group][text] for group in groups]
        cells = [found[0]["id"]["accuracy"], *(one["ood"]["accuracy"] for one in found)]
        lines.append(f"| {text} | {' | '.join(f'{cell:.1%}' for cell in cells)} |")
    chances = [teacher[groups[0]][text]["id"]["chance"], *(teacher[group][text]["ood"]["chance"] for group in groups)]
    lines.append(f"| chance | {' | '.join(f'{chance:.1%}' for chance in chances)} |")
    return "\n".join(lines)


def _section(
    name: str,
    title: str,
    by_arm: Mapping[str, Sequence[Result]],
    groups: Sequence[str],
    teacher: Mapping[str, Mapping[str, Result]],
) -> str:
    arms = [arm for arm in ARMS.values() if arm.section == name and arm.name in by_arm]
    if not arms:
        return ""
    last = groups[-1]
    heads = [
        "arm",
        "text",
        "seen",
        *(f"unseen, {group}" for group in groups),
        f"of the teacher, {last}",
        "last 5 epochs",
        "all labels",
        "cosine",
        "s",
    ]
    lines = [f"## {title}\n", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for arm in arms:
        runs = by_arm[arm.name]

        def over(read: Any, runs: Sequence[Result] = runs) -> Mean | None:
            values = [read(run) for run in runs]
            return None if None in values else mean_of(values)

        best = teacher[last]["sentence"]["ood"]["accuracy"]
        reached = over(lambda run: unseen(run, last))
        cells = [
            arm.title, arm.text, _share(over(_read(last, "id", "accuracy"))),
            *(_share(over(lambda run, group=group: unseen(run, group))) for group in groups),
            f"{reached.value / best:.0%}" if reached else "",
            _share(over(_read(last, "last_epochs", "ood_accuracy"))),
            _share(over(_read(last, "joint", "harmonic_mean"))),
            _plain(over(_read(last, "ood", "agreement", "feature_cosine"))),
            f"{sum(run['seconds'] for run in runs) / len(runs):.0f}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _read(*path: str) -> Callable[[Result], float | None]:
    """Reads a figure of a result's groups, None where some step on the way is not there."""

    def read(run: Result) -> float | None:
        found: Any = run["groups"]
        for step in path:
            found = (found or {}).get(step)
        return None if found is None else float(found)

    return read


def _foot(results: Sequence[Result]) -> str:
    seconds = sum(result["seconds"] for result in results)
    machines = sorted({result["machine"].partition(";")[0] for result in results})
    bounds = [one["ood"]["intervals"]["labels"] for run in results for one in run["groups"].values() if one["ood"]]
    longest = max(bounds, key=lambda each: float(each[1] - each[0]), default=(0.0, 0.0))
    return (
        "`of the teacher`: as a share of what the teacher reaches with sentences. `last 5 epochs`: their mean, as\n"
        "the paper reports. `all labels`: harmonic mean of seen and unseen accuracy among all 120. `cosine`:\n"
        "of student and teacher features of unseen labels. `s`: seconds of an arm and seed, measuring included.\n\n"
        "Seeds draw weights, order and views; the labels are the same for all. How far 40 other species could move a\n"
        "figure is the bootstrap over labels that each result holds, at its widest here "
        f"{longest[0]:.1%} to {longest[1]:.1%}.\n\n"
        f"{len(results)} trainings, {seconds / 60:.0f} minutes in all, on " + "; ".join(machines) + "."
    )


def draw(
    by_arm: Mapping[str, Sequence[Result]], group: str, teacher: Mapping[str, Mapping[str, Result]], path: Path
) -> None:
    """A row for each arm: a point a seed, a bar at their mean; the teacher and chance as lines."""
    rows = [
        arm
        for section in SECTIONS
        for arm in ARMS.values()
        if arm.section == section
        and arm.name in by_arm
        and any(unseen(one, group) is not None for one in by_arm[arm.name])
    ]
    figure = Figure(figsize=(9, 1.2 + 0.27 * len(rows)), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for at, arm in enumerate(reversed(rows)):
        values = [100 * found for one in by_arm[arm.name] if (found := unseen(one, group)) is not None]
        colour = "#8a8a8a" if arm.text == "names" else "#c2571a"
        axes.barh(at, mean_of(values).value, color=colour, alpha=0.35)
        axes.plot(values, [at] * len(values), "o", color=colour, markersize=4)
    axes.set_yticks(range(len(rows)), [arm.title for arm in reversed(rows)], fontsize=8)
    best = teacher[group]["sentence"]["ood"]
    axes.axvline(100 * best["accuracy"], color="black", label=f"teacher, sentences {best['accuracy']:.1%}")
    axes.axvline(100 * best["chance"], color="black", linestyle=":", label=f"chance {best['chance']:.1%}")
    axes.set(xlim=(0, 102), ylim=(-0.7, len(rows) - 0.3), xlabel=f"accuracy on 40 unseen species ({group}), %")
    axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    with replacing(path) as draft:
        figure.savefig(draft, format="png", metadata={"Software": None})


def _share(found: Mean | None) -> str:
    if found is None:
        return ""
    return f"{found.value:.1%}" if found.half is None else f"{found.value:.1%} ± {100 * found.half:.1f}"


def _plain(found: Mean | None) -> str:
    return "" if found is None else f"{found.value:.2f}"


def _points(found: Mean) -> str:
    half = "" if found.half is None else f" ± {100 * found.half:.1f}"
    return f"{100 * found.value:+.1f}{half} points"
