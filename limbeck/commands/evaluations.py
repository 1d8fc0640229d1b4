"""Evaluations on a terminal: a table of accuracies, and what to do if attributes make the teacher worse."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from limbeck.commands.precision_table import precision_table

if TYPE_CHECKING:
    from rich.table import Table

PARTS = {"id": "seen", "ood": "unseen"}

Row = tuple[str, str, Mapping[str, Any]]
"""Model, text, evaluation."""


def results_table(rows: Sequence[Row]) -> "Table":
    """Mean per-class accuracy of each row, and of random guessing; of images with several labels average precision."""
    from rich.table import Table

    if rows[0][2].get("multi_label"):
        return precision_table(rows, PARTS)
    table = Table("", "text", title="mean per-class accuracy", title_style="bold")
    parts = [part for part in PARTS if rows[0][2].get(part)]
    for part in parts:
        table.add_column(f"{PARTS[part]} labels ({rows[0][2][part]['num_labels']})", justify="right")
    for model, text, evaluation in rows:
        table.add_row(model, text, *(f"{evaluation[part]['accuracy']:.1%}" for part in parts))
    table.add_row("chance", "", *(f"{rows[0][2][part]['chance']:.1%}" for part in parts), style="dim")
    return table


def figures_of(evaluation: Mapping[str, Any], part: str) -> Mapping[str, Any] | None:
    """The figures of a part, those of images with several labels if they have several; None if it was not measured.

    They have `accuracy` or `mean_ap`, `chance`, `num_labels`, `num_images`, and `intervals` at 95%; `images` of them is
    over other images of the same labels.
    """
    return (evaluation.get("multi_label") or evaluation).get(part) or None


def accuracy_text(figures: Mapping[str, Any] | None) -> str:
    """`97.1%`, or `40.0% mAP` of images with several labels; empty without figures."""
    if figures is None:
        return ""
    return f"{figures['mean_ap']:.1%} mAP" if "mean_ap" in figures else f"{figures['accuracy']:.1%}"


def is_measured(evaluation: Mapping[str, Any]) -> bool:
    """Whether an evaluation has a result: not that of a student trained on everything."""
    return any(figures_of(evaluation, part) for part in PARTS)


def names_are_better(text: str, by_text: Mapping[str, Any], by_names: Mapping[str, Any]) -> str:
    """One sentence if a teacher is worse by `text` than by names beyond the 95% intervals; else empty."""
    worse = [
        f"{_figure(of_text)} against {_figure(of_names)} on {seen} labels"
        for part, seen in PARTS.items()
        if (of_text := figures_of(by_text, part))
        and (of_names := figures_of(by_names, part))
        and _is_below(of_text, of_names)
    ]
    if not worse:
        return ""
    return (
        f"the attributes make the teacher worse than the names alone: by {text} {' and '.join(worse)}; use --text "
        "names, another text or other --strategies, and see which texts help with limbeck attributes prove"
    )


def _is_below(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether the accuracy is lower, and the intervals do not overlap."""
    if "intervals" not in one or "intervals" not in other:
        return False
    return bool(one["intervals"]["images"][1] < other["intervals"]["images"][0])


def _figure(part: Mapping[str, Any]) -> str:
    low, high = part["intervals"]["images"]
    return f"{accuracy_text(part)} ({low:.1%} to {high:.1%})"


def no_student_text(job_id: str) -> str:
    """What a training without a student is for, and that a folder for one stays empty."""
    return (
        "no student is delivered, and nothing is downloaded: protocol closed_set trains a baseline. Compare a student "
        f"with it: limbeck evaluate CHECKPOINT --dataset DATASET --corruptions 200 --baseline {job_id}"
    )
