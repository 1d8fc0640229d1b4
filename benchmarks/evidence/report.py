"""Writes the section of `docs/evidence.md` on distillation, and its plot, from the records of the arms.

The same records give the same bytes. The sections of other commands are kept.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.documents import put_part
from benchmarks.evidence.arms import ARMS, TrainingArm
from benchmarks.evidence.claims import CLAIMS, PaperClaim
from benchmarks.evidence.run import ArmRecord
from benchmarks.evidence.statistics import Mean, mean_of, verdict
from distill.data.atomic_files import replacing
from distill.json_types import EvaluatedPart, EvaluationJSON, LabelSetJSON

Metric = Callable[[ArmRecord], float | None]
TeacherJSON = Mapping[str, Mapping[str, EvaluationJSON]]
"""Evaluations of the teacher as JSON, by group and text kind."""

PART = "distillation"
PLOT = "evidence-distillation.png"
SECTIONS = {
    "text": "Names instead of attributes",
    "alone": "Each loss term alone",
    "added up": "Terms added in the paper's order",
    "views": "Views and augmentation",
    "weights": "Averaged weights",
    "language": "Captions and learned vectors",
    "others": "Loss terms of other methods",
    "few-shot": "Five images of each unseen label",
    "closed set": "The same student as a closed-set classifier",
    "recipe": "Our recipe",
    "published": "The paper's recipe and its variants",
}


def write_report(records: Sequence[ArmRecord], teacher: TeacherJSON, *, command: str, docs: Path) -> None:
    """Write the section and the plot to the folder `docs`. `command`: the command that made the records.

    Raises ValueError if there are no records.
    """
    if not records:
        raise ValueError("there are no records to report: run some arms")
    by_arm: dict[str, list[ArmRecord]] = {}
    for record in records:
        by_arm.setdefault(record["arm"], []).append(record)
    groups = list(records[0]["groups"])
    parts = [
        _introduction(records, groups, command),
        _claims(by_arm, groups[-1]),
        f"![Accuracy on unseen labels by arm]({PLOT})",
        _teacher_table(teacher, groups),
        *(_section(name, title, by_arm, groups, teacher) for name, title in SECTIONS.items()),
        _notes(records),
    ]
    put_part(docs / "evidence.md", PART, "\n\n".join(part for part in parts if part))
    draw_plot(by_arm, groups[-1], teacher, docs / PLOT)


def _introduction(records: Sequence[ArmRecord], groups: Sequence[str], command: str) -> str:
    seeds = sorted({record["seed"] for record in records})
    config, num_images = records[0]["config"], records[0]["pictures"]
    return f"""# Distillation

The effect of each part of the method on the frozen field guide (`examples/fieldguide`). Its
images are drawn by a program and its teacher is tiny: the results show which parts of the method help here, and nothing
about accuracy on photographs. Written by

<!-- snippet: checked; takes hours -->
```sh
{command}
```

Students ({config["student"]} from scratch, {config["image_px"]} px, a quarter of the teacher's pixels)
are trained on {num_images} images of each of 80 species, unless a row says otherwise. They are measured on
unseen species: 40 of the validation group, on which recipes were chosen, and 40 of the test group, on which nothing was
chosen. Seeds: {", ".join(map(str, seeds))}. Measured groups: {" and ".join(groups)}. Unless stated otherwise,
every figure is the mean per-class accuracy of the delivered weights, as the mean over seeds ± half its 95% interval
(Student's t)."""


def _claims(by_arm: Mapping[str, Sequence[ArmRecord]], group: str) -> str:
    lines = [
        f"## Claims on this dataset\n\nDifferences on the unseen labels of the {group} group, paired by seed.\n",
        "| claim | source | difference | verdict |",
        "|---|---|---|---|",
    ]
    for claim in CLAIMS:
        differences = paired_differences(claim, by_arm, group)
        if differences:
            mean = mean_of(differences)
            lines.append(f"| {claim.text} | {claim.source} | {_points(mean)} | {verdict(differences)} |")
    return "\n".join([*lines, "", *_claims_by_verdict(by_arm, group)])


def _claims_by_verdict(by_arm: Mapping[str, Sequence[ArmRecord]], group: str) -> list[str]:
    """One line for each verdict and source, with its claims."""
    claims: dict[tuple[str, str], list[str]] = {}
    for claim in CLAIMS:
        if differences := paired_differences(claim, by_arm, group):
            claims.setdefault((verdict(differences), claim.source), []).append(claim.text)
    return [
        f"- **{found[0].upper()}{found[1:]}** ({source}): {'; '.join(texts)}."
        for (found, source), texts in sorted(claims.items())
    ]


def paired_differences(claim: PaperClaim, by_arm: Mapping[str, Sequence[ArmRecord]], group: str) -> list[float]:
    """Accuracy of the better arm minus that of the worse arm, for each seed that both have."""

    def worse_accuracy(record: ArmRecord) -> float | None:
        is_same_arm = claim.better == claim.worse
        return _read(group, "ood", "accuracy")(record) if is_same_arm else unseen_accuracy(record, group)

    better = _by_seed(by_arm.get(claim.better, ()), lambda record: unseen_accuracy(record, group))
    worse = _by_seed(by_arm.get(claim.worse, ()), worse_accuracy)
    return [better[seed] - worse[seed] for seed in sorted(better.keys() & worse.keys())]


def _by_seed(records: Sequence[ArmRecord], read: Metric) -> dict[int, float]:
    return {record["seed"]: value for record in records if (value := read(record)) is not None}


def unseen_accuracy(record: ArmRecord, group: str) -> float | None:
    """Accuracy on the unseen labels of a group, with retrieval if the arm retrieves; None if it was not measured."""
    evaluation = record["groups"].get(group)
    part = evaluation and (evaluation.get("retrieval") or evaluation["ood"])
    return None if part is None else float(part["accuracy"])


def _part(evaluation: EvaluationJSON, name: EvaluatedPart) -> LabelSetJSON:
    """A part of the evaluation of the teacher, which is always measured."""
    part = evaluation[name]
    assert part is not None
    return part


def _teacher_table(teacher: TeacherJSON, groups: Sequence[str]) -> str:
    lines = [
        "## The teacher, zero-shot\n",
        f"| text | seen | {' | '.join(f'unseen, {group}' for group in groups)} |",
        f"|---|---|{'---|' * len(groups)}",
    ]
    for text in next(iter(teacher.values())):
        evaluations = [teacher[group][text] for group in groups]
        cells = [_part(evaluations[0], "id")["accuracy"], *(_part(one, "ood")["accuracy"] for one in evaluations)]
        lines.append(f"| {text} | {' | '.join(f'{cell:.1%}' for cell in cells)} |")
    chances = [_part(teacher[groups[0]][text], "id")["chance"]]
    chances += [_part(teacher[group][text], "ood")["chance"] for group in groups]
    lines.append(f"| chance | {' | '.join(f'{chance:.1%}' for chance in chances)} |")
    return "\n".join(lines)


def _section(
    name: str,
    title: str,
    by_arm: Mapping[str, Sequence[ArmRecord]],
    groups: Sequence[str],
    teacher: TeacherJSON,
) -> str:
    arms = [arm for arm in ARMS.values() if arm.section == name and arm.name in by_arm]
    if not arms:
        return ""
    heads = [
        "arm",
        "text",
        "seen",
        *(f"unseen, {group}" for group in groups),
        f"of the teacher, {groups[-1]}",
        "last 5 epochs",
        "all labels",
        "cosine",
        "s",
    ]
    teacher_accuracy = _part(teacher[groups[-1]]["sentence"], "ood")["accuracy"]
    rows = [_row(arm, by_arm[arm.name], groups, teacher_accuracy) for arm in arms]
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join([f"## {title}\n", *(_table_line(cells) for cells in lines)])


def _table_line(cells: Sequence[str]) -> str:
    return f"|{'|'.join(cells)}|" if set(cells) == {"---"} else f"| {' | '.join(cells)} |"


def _row(arm: TrainingArm, records: Sequence[ArmRecord], groups: Sequence[str], teacher_accuracy: float) -> list[str]:
    """The cells of an arm: means over its records."""
    last = groups[-1]

    def mean(read: Metric) -> Mean | None:
        values = [read(record) for record in records]
        known = [value for value in values if value is not None]
        return mean_of(known) if len(known) == len(values) else None

    def mean_unseen(group: str) -> Mean | None:
        return mean(lambda record: unseen_accuracy(record, group))

    reached = mean_unseen(last)
    return [
        arm.title,
        arm.text,
        _percent(mean(_read(last, "id", "accuracy"))),
        *(_percent(mean_unseen(group)) for group in groups),
        f"{reached.value / teacher_accuracy:.0%}" if reached else "",
        _percent(mean(_read(last, "last_epochs", "ood_accuracy"))),
        _percent(mean(_read(last, "joint", "harmonic_mean"))),
        _decimal(mean(_read(last, "ood", "agreement", "feature_cosine"))),
        f"{sum(record['seconds'] for record in records) / len(records):.0f}",
    ]


def _read(*path: str) -> Metric:
    """A function that reads a figure from the groups of a record; None if a key on the path is missing."""

    def read(record: ArmRecord) -> float | None:
        value: object = record["groups"]
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return float(value) if isinstance(value, int | float) else None

    return read


def _notes(records: Sequence[ArmRecord]) -> str:
    seconds = sum(record["seconds"] for record in records)
    machines = sorted({record["machine"].partition(";")[0] for record in records})
    bounds = [
        one["ood"]["intervals"]["labels"] for record in records for one in record["groups"].values() if one["ood"]
    ]
    widest = max(bounds, key=lambda each: float(each[1] - each[0]), default=(0.0, 0.0))
    return f"""`of the teacher`: accuracy as a share of the teacher's accuracy with sentences. `last 5 epochs`: mean
over these epochs, as the paper reports. `all labels`: harmonic mean of seen and unseen accuracy among all 120 labels.
`cosine`: of student and teacher features of unseen labels. `s`: seconds of one training with its evaluation.

Seeds change the initial weights, the order and the views; the labels are the same for all seeds. The bootstrap interval
over labels in each record shows the variation over other species; the widest one here is {widest[0]:.1%} to
{widest[1]:.1%}.

{len(records)} trainings, {seconds / 60:.0f} minutes in total, on {"; ".join(machines)}."""


def draw_plot(by_arm: Mapping[str, Sequence[ArmRecord]], group: str, teacher: TeacherJSON, path: Path) -> None:
    """Write a PNG with one row per arm: a point per seed and a bar at their mean; lines for the teacher and chance."""
    arms = [
        arm
        for section in SECTIONS
        for arm in ARMS.values()
        if arm.section == section
        and arm.name in by_arm
        and any(unseen_accuracy(record, group) is not None for record in by_arm[arm.name])
    ]
    figure = Figure(figsize=(9, 1.2 + 0.27 * len(arms)), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for row, arm in enumerate(reversed(arms)):
        accuracies = _by_seed(by_arm[arm.name], lambda record: unseen_accuracy(record, group))
        values = [100 * accuracy for accuracy in accuracies.values()]
        colour = "#8a8a8a" if arm.text == "names" else "#c2571a"
        axes.barh(row, mean_of(values).value, color=colour, alpha=0.35)
        axes.plot(values, [row] * len(values), "o", color=colour, markersize=4)
    axes.set_yticks(range(len(arms)), [arm.title for arm in reversed(arms)], fontsize=8)
    best = _part(teacher[group]["sentence"], "ood")
    axes.axvline(100 * best["accuracy"], color="black", label=f"teacher, sentences {best['accuracy']:.1%}")
    axes.axvline(100 * best["chance"], color="black", linestyle=":", label=f"chance {best['chance']:.1%}")
    axes.set(xlim=(0, 102), ylim=(-0.7, len(arms) - 0.3), xlabel=f"accuracy on 40 unseen species ({group}), %")
    axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    with replacing(path) as draft:
        figure.savefig(draft, format="png", metadata={"Software": None})


def _percent(mean: Mean | None) -> str:
    if mean is None:
        return ""
    return f"{mean.value:.1%}" if mean.half is None else f"{mean.value:.1%} ± {100 * mean.half:.1f}"


def _decimal(mean: Mean | None) -> str:
    return "" if mean is None else f"{mean.value:.2f}"


def _points(mean: Mean) -> str:
    half = "" if mean.half is None else f" ± {100 * mean.half:.1f}"
    return f"{100 * mean.value:+.1f}{half} points"
