"""`limbeck attributes prove`: measure whether a set's attributes improve a teacher beyond empty controls."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.commands.common import DEFAULT_URL, BadInput, Url, service
from limbeck.shared.text import counted

if TYPE_CHECKING:
    from rich.table import Table

    from distill.json_types import ArmPartJSON, BenefitReportJSON, EvaluatedPart, FilteredJSON

_PARTS: dict["EvaluatedPart", str] = {"id": "seen", "ood": "unseen"}


def prove(
    id: Annotated[str, typer.Argument(metavar="SET", help="The attribute set's id.")],
    dataset: Annotated[str, typer.Option(help="The dataset whose held-out and unseen images are classified.")],
    teacher: Annotated[
        str,
        typer.Option(
            help="ViT-B-32:openai, hf-hub:org/name, or, below the data root, ViT-B-32:FILE or local-dir:PATH."
        ),
    ],
    concept: Annotated[str, typer.Option(help="A word for all labels: bird.")] = "",
    seeds: Annotated[int, typer.Option(help="Number of random samples of each control.")] = 3,
    filter_phrases: Annotated[
        bool, typer.Option("--filter-phrases", help="Create a set without phrases that the training images contradict.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write all measurements to this file, as JSON.")] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Evaluate a teacher with different label texts, and report whether the attributes help beyond Waffle.

    limbeck attributes prove ats_… --dataset dst_… --teacher ViT-B-32:openai
    """
    from rich.console import Console

    from limbeck.progress import follow

    console = Console()
    if out is not None and not out.parent.is_dir():
        raise BadInput(f"{out}: there is no folder {out.parent}")  # before hours of measuring
    with service(url) as client:
        job = client.jobs.create(
            "prove",
            attribute_set_id=id,
            dataset_id=dataset,
            teacher=teacher,
            concept=concept,
            seeds=seeds,
            filter_phrases=filter_phrases,
        )
        result = follow(client, job, console, title="prove the benefit").result or {}
    proof: BenefitReportJSON = result["proof"]
    console.print(proof_table(proof))
    console.print(proof["verdict"], highlight=False, markup=False)
    if (filtered := proof["filtered"]) is not None:
        console.print(_filter_text(filtered, result["attribute_set_id"]), highlight=False, markup=False)
    if out is not None:
        _write(out, proof)


def _write(out: Path, proof: "BenefitReportJSON") -> None:
    try:
        out.write_text(json.dumps(proof, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{out}: {error.strerror}") from None


def proof_table(proof: "BenefitReportJSON") -> "Table":
    """Accuracy of every arm, and its gain over the control with a bootstrap interval over labels, in points."""
    from rich.table import Table

    parts = [part for part in _PARTS if part in proof["num_images"]]
    title = "mean per-class accuracy of the teacher, %, and 95% interval of its gain over waffle"
    table = Table("", title=title, title_style="bold", title_justify="left", box=None)
    for part in parts:
        table.add_column(f"{_PARTS[part]} ({proof['num_labels'][part]})", justify="right")
        table.add_column("over waffle", justify="right", no_wrap=True)
    for arm in proof["arms"]:
        results = [result for part in parts if (result := arm[part])]
        cells = [cell for result in results for cell in (f"{100 * result['accuracy']:.1f}", _gain(result))]
        table.add_row(arm["name"], *cells, style="bold" if arm["name"] == proof["chosen"] else None)
    chance = [cell for part in parts for cell in (f"{100 * proof['chance'][part]:.1f}", "")]
    table.add_row("chance", *chance, style="dim")
    return table


def _gain(result: "ArmPartJSON") -> str:
    gain = result["over_control"]
    if gain is None:
        return ""
    low, high = gain["labels"]
    return f"{100 * gain['mean']:+.1f} \\[{100 * low:+.0f}, {100 * high:+.0f}]"


def _filter_text(filtered: "FilteredJSON", set_id: str | None) -> str:
    if filtered["refused"]:
        return f"No phrase was removed: {filtered['refused']}."
    if set_id is None:
        return "The training images contradict no phrase."
    dropped = sum(map(len, filtered["dropped"].values()))
    contradicted = "that training images contradict"
    removed = counted(dropped, f"phrase {contradicted} is", f"phrases {contradicted} are")
    return (
        f"{removed} removed in {set_id}: held-out accuracy by phrases "
        f"{filtered['before']:.1%} before, {filtered['after']:.1%} after."
    )
