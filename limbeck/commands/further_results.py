"""Tables of what an evaluation measured beside accuracy: domains, corruptions, retrieval and unknown images."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from limbeck.commands.evaluations import PARTS

if TYPE_CHECKING:
    from rich.table import Table

STYLE = "bold"


def further_tables(evaluation: Mapping[str, Any]) -> "Iterator[Table]":
    """A table for each result that the evaluation has."""
    yield from _domain_tables(evaluation.get("domains") or {})
    yield from _corruption_tables(evaluation.get("corruptions") or {})
    yield from _recall_table(evaluation.get("recall") or {})
    yield from _open_set_table(evaluation.get("open_set"))


def _domain_tables(domains: Mapping[str, Any]) -> "Iterator[Table]":
    for part, seen in PARTS.items():
        if not (shift := domains.get(part)):
            continue
        table = _table(f"domains, {seen} labels", "", "accuracy", "training domain", "drop", "labels", "images")
        for one in shift["domains"]:
            table.add_row(
                one["name"],
                *(f"{one[name]:.1%}" for name in ("accuracy", "training_domain", "drop")),
                f"{one['num_labels']:,}",
                f"{one['num_images']:,}",
            )
        table.add_row("mean", f"{shift['mean']:.1%}", "", f"{shift['mean_drop']:.1%}", "", "", style="dim")
        table.add_row("worst", f"{shift['worst_accuracy']:.1%}", "", "", "", "", style="dim")
        yield table


def _corruption_tables(corruptions: Mapping[str, Any]) -> "Iterator[Table]":
    for part, seen in PARTS.items():
        if not (errors := corruptions.get(part)):
            continue
        strengths = [str(one) for one in corruptions["strengths"]]
        title = f"error under corruptions by strength, {seen} labels ({errors['num_images']:,} images)"
        has_baseline = errors["mce"] is not None
        table = _table(title, "", *strengths, "mean", *(["CE"] if has_baseline else []))
        table.add_row("none", *[""] * len(strengths), f"{errors['clean_error']:.1%}", *([""] if has_baseline else []))
        for kind in errors["kinds"]:
            ce = [f"{kind['ce']:.2f}"] if has_baseline else []
            table.add_row(kind["kind"], *(f"{one:.1%}" for one in kind["errors"]), f"{kind['error']:.1%}", *ce)
        mce = [f"{errors['mce']:.2f}"] if has_baseline else []
        table.add_row("mean", *[""] * len(strengths), f"{errors['mean_error']:.1%}", *mce, style="dim")
        yield table


def _recall_table(recall: Mapping[str, Any]) -> "Iterator[Table]":
    rows = [
        (f"{direction.replace('_', ' ')}, {seen} labels", one)
        for part, seen in PARTS.items()
        for direction in ("image_to_image", "text_to_image")
        if (one := (recall.get(part) or {}).get(direction))
    ]
    if not rows:
        return
    table = _table(
        "recall of the embeddings", "", *(f"@{rank}" for rank in rows[0][1]["ranks"]), "chance @1", "queries"
    )
    for name, one in rows:
        table.add_row(
            name, *(f"{value:.1%}" for value in one["recall"]), f"{one['chance'][0]:.1%}", f"{one['num_queries']:,}"
        )
    yield table


def _open_set_table(open_set: Mapping[str, Any] | None) -> "Iterator[Table]":
    if not open_set:
        return
    title = f"none of these: {open_set['num_images']:,} known images of {open_set['num_labels']:,} seen labels"
    table = _table(title, "unknown", "score", "AUROC", "FPR95", "OSCR", "rejected", "H-score")
    for unknown in open_set["unknown"]:
        for score in unknown["scores"]:
            table.add_row(
                f"{unknown['kind']} ({unknown['num_images']:,})",
                score["score"],
                *(f"{score[name]:.1%}" for name in ("auroc", "fpr95", "oscr", "rejected", "h_score")),
            )
    yield table


def _table(title: str, *columns: str) -> "Table":
    from rich.table import Table

    table = Table(title=title, title_style=STYLE)
    for at, column in enumerate(columns):
        table.add_column(column, justify="right" if at else "left")
    return table
