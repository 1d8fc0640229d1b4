"""Evaluations of images with several labels on a terminal: mean average precision, and the decisions of a threshold."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


def precision_table(rows: Sequence[tuple[str, str, Mapping[str, Any]]], parts: Mapping[str, str]) -> "Table":
    """mAP and F1 of each row, and the mAP of a random order.

    `rows`: model, text, evaluation. `parts`: name of a part -> how its labels are called.
    """
    from rich.table import Table

    table = Table("", "text", title="mean average precision (F1 at the threshold)", title_style="bold")
    first = rows[0][2]["multi_label"]
    shown = [part for part in parts if first[part]]
    for part in shown:
        table.add_column(f"{parts[part]} labels ({first[part]['num_labels']})", justify="right")
    for model, text, evaluation in rows:
        found = evaluation.get("multi_label") or {}
        table.add_row(model, text, *(_cell(found.get(part)) for part in shown))
    table.add_row("chance", "", *(f"{first[part]['chance']:.1%}" for part in shown), style="dim")
    return table


def _cell(part: Mapping[str, Any] | None) -> str:
    if not part:
        return ""
    f1 = f" ({part['decisions']['f1']:.1%})" if part["decisions"] else ""
    return f"{part['mean_ap']:.1%}{f1}"
