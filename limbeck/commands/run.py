"""`limbeck run`: the main job on one's own labels and images, from a label list to a downloaded student."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limbeck.commands.common import DEFAULT_URL, BadInput, Url, assignments, read_text, service

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from limbeck.models import Job, TextKind

_SPLIT = "seed=0,id_fraction=0.5,held_out=0.3"
_STRATEGIES = {
    "answers": "questions",
    "contrast": "describe,contrast",
    "all": "sentence,phrases,questions,contrast",
}


def run(
    labels: Annotated[Path, typer.Option(help="A label a line; or a .csv with the header name or name,sense.")],
    images: Annotated[str, typer.Option(help="A folder of class folders, relative to the service's data root.")],
    teacher: Annotated[str, typer.Option(help="ViT-B-32:openai, hf-hub:org/name, or local-dir:PATH (data root).")],
    out: Annotated[Path, typer.Option(help="The folder for the student.")],
    domain: Annotated[str, typer.Option(help="What the labels are kinds of: birds, dishes, tools.")] = "",
    text: Annotated[
        str, typer.Option(help="What the teacher reads: names, sentence, phrases, contrast …")
    ] = "sentence",
    concept: Annotated[str, typer.Option(help="One word said of every label: bird.")] = "",
    student: Annotated[str, typer.Option(help="A timm model; the recipe's own if left out.")] = "",
    recipe: Annotated[str, typer.Option(help="limbeck, li2023_resnet or li2023_vit, or a _5shot one.")] = "limbeck",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A field of the recipe: epochs=10, losses.mse=0. Repeatable.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="Which labels are unseen: seed=0,id_fraction=0.5,held_out=0.3; folders; or JSON.")
    ] = _SPLIT,
    strategies: Annotated[
        str, typer.Option(help="What the LLM is asked: sentence,phrases,contrast …; what --text needs if left out.")
    ] = "",
    llm_model: Annotated[str, typer.Option(help="The LLM to ask; the service's own if left out.")] = "",
    url: Url = DEFAULT_URL,
) -> None:
    """Post labels, describe them, distil a student from the teacher, measure it on labels it never saw, fetch it."""
    from rich.console import Console

    from limbeck.commands.jobs import fetch_bundle
    from limbeck.progress import follow

    kind = _text_kind(text)
    config = assignments(set_ or [], "--set") | ({"student": student} if student else {})
    chosen_split = split_of(split)
    listed = read_text(labels)
    console = Console()
    with service(url) as client:
        vocabulary = client.create_vocabulary_from_text(
            labels.stem, listed, format="csv" if labels.suffix.lower() == ".csv" else "lines", domain=domain
        )
        console.print(f"{vocabulary.num_labels:,} labels as {vocabulary.id}", highlight=False)
        # The folder is looked at before the LLM is asked: a wrong one should cost nothing.
        dataset = client.register_dataset(vocabulary.id, images, split=chosen_split)
        console.print(_counted(dataset.counts), highlight=False)
        attribute_set = None
        if kind != "names":
            chain = _chain(strategies or _STRATEGIES.get(kind, "describe"))
            between = any(name.partition("@")[0] == "contrast" for name in chain)
            asked = client.enrich(
                vocabulary.id, strategies=chain, model=llm_model or None, teacher=teacher if between else None
            )
            attribute_set = _told_set(follow(client, asked, console, title="describe labels"), console)
        job = client.distill(
            dataset.id,
            teacher=teacher,
            text=kind,
            concept=concept,
            attribute_set_id=attribute_set,
            recipe=recipe,
            config=config,
        )
        trained = follow(client, job, console, title="distil the student").result or {}
        evaluation = trained["evaluation"]
        rows = [("student", kind, evaluation), *(("teacher", kind, one) for one in evaluation["teacher"])]
        if kind != "names":
            asked = client.evaluate(dataset.id, teacher=teacher)
            job = follow(client, asked, console, title="measure the teacher")
            rows.append(("teacher", "names", (job.result or {})["evaluation"]))
        # The closed-set baseline is measured, and has no bundle.
        if trained.get("checkpoint_id"):
            fetch_bundle(client, trained["checkpoint_id"], out, ["image", "targets"], console)
    console.print(results_table(rows))
    if trained.get("checkpoint_id"):
        console.print(f"try it: limbeck classify --checkpoint {out} IMAGE", highlight=False, markup=False)


def split_of(given: str) -> dict[str, Any]:
    """`folders`, a JSON object, or `seed=…,id_fraction=…,held_out=…`, as the API takes it."""
    if given == "folders":
        return {"by": "folders"}
    if given.lstrip().startswith("{"):
        try:
            split: dict[str, Any] = json.loads(given)
        except ValueError as error:
            raise BadInput(f"--split is no JSON: {error}") from None
        return split
    return {"by": "seed"} | assignments(re.split(r"\s*,\s*", given.strip()), "--split")


def _chain(given: str) -> list[str]:
    chain = [name.strip() for name in given.split(",") if name.strip()]
    if not chain:
        raise BadInput(f"--strategies {given!r}: name them with commas between, such as sentence,phrases")
    return chain


def results_table(rows: Sequence[tuple[str, str, dict[str, Any]]]) -> "Table":
    """Mean per-class accuracy of each (who, text, evaluation), and what guessing would give."""
    from rich.table import Table

    table = Table("", "text", title="mean per-class accuracy", title_style="bold")
    parts = [part for part in ("id", "ood") if rows[0][2].get(part)]
    for part in parts:
        num_labels = rows[0][2][part]["num_labels"]
        table.add_column(f"{'seen' if part == 'id' else 'unseen'} labels ({num_labels})", justify="right")
    for who, text, evaluation in rows:
        table.add_row(who, text, *(f"{evaluation[part]['accuracy']:.1%}" for part in parts))
    table.add_row("chance", "", *(f"{rows[0][2][part]['chance']:.1%}" for part in parts), style="dim")
    return table


def _text_kind(given: str) -> "TextKind":
    from limbeck.models import TEXT_KINDS

    if given not in TEXT_KINDS:
        raise BadInput(f"--text {given!r}: choose one of {', '.join(TEXT_KINDS)}")
    return given


def _counted(counts: dict[str, int]) -> str:
    return (
        f"{counts['train']:,} images to train on and {counts['held_out']:,} held out, of {counts['id_labels']} labels; "
        f"{counts['ood']:,} of {counts['ood_labels']} labels it will never see"
    )


def _told_set(job: "Job", console: "Console") -> str:
    result = job.result or {}
    failed = result["num_labels"] - result["num_described"]
    told = f"{result['num_described']:,} labels described as {result['attribute_set_id']}"
    console.print(
        told + (f", {failed:,} without an answer (their names stand alone)" if failed else ""), highlight=False
    )
    made: str = result["attribute_set_id"]
    return made
