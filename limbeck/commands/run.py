"""`limbeck run`: the complete workflow on your labels and images, from a label list to a downloaded student."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, get_args

import typer

from limbeck.commands.common import (
    DEFAULT_URL,
    BadInput,
    LabelsMissing,
    Language,
    SystemPromptFile,
    Url,
    assignments,
    create_vocabulary,
    read_bytes,
    read_text,
    service,
)

if TYPE_CHECKING:
    from rich.table import Table

    from limbeck.client.job_requests import EnrichOptions
    from limbeck.models import TextKind

_SPLIT = "seed=0,id_fraction=0.5,held_out=0.3"
_STRATEGIES = {
    "answers": "questions",
    "contrast": "describe,contrast",
    "all": "sentence,phrases,questions,contrast",
}


def run(
    labels: Annotated[Path, typer.Option(help="A label file: one label per line, CSV, JSON, YAML …")],
    images: Annotated[str, typer.Option(help="A folder of class folders, relative to the service's data root.")],
    teacher: Annotated[
        str,
        typer.Option(
            help="ViT-B-32:openai, hf-hub:org/name, or, below the data root, ViT-B-32:FILE or local-dir:PATH."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The destination folder of the student.")],
    domain: Annotated[str, typer.Option(help="The category of the labels: birds, dishes, tools.")] = "",
    text: Annotated[
        str, typer.Option(help="The teacher's label texts: names, sentence, phrases, contrast …")
    ] = "sentence",
    concept: Annotated[str, typer.Option(help="A word for all labels: bird.")] = "",
    student: Annotated[str, typer.Option(help="A timm model; the recipe's by default.")] = "",
    recipe: Annotated[
        str, typer.Option(help="limbeck, li2023_resnet or li2023_vit, or their _5shot variants.")
    ] = "limbeck",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Set a recipe field: epochs=10, losses.mse=0. Repeatable.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="Seen and unseen labels: seed=0,id_fraction=0.5,held_out=0.3; folders; or JSON.")
    ] = _SPLIT,
    source: Annotated[
        str, typer.Option(help='How the images are given, as JSON: {"layout": "table", "file": "train.csv"}.')
    ] = "",
    unlabelled: Annotated[
        list[str] | None,
        typer.Option(help="A folder of images without labels to train on too, in the data root. Repeatable."),
    ] = None,
    strategies: Annotated[
        str, typer.Option(help="Prompt strategies: sentence,phrases,contrast …; by default those that --text needs.")
    ] = "",
    check: Annotated[str, typer.Option(help="full: open every image at registration; names: open none.")] = "full",
    duplicates: Annotated[
        str, typer.Option(help="Copies of an image in several parts: refuse (default), move, keep.")
    ] = "",
    near_duplicates: Annotated[
        str, typer.Option(help="Pictures that look the same in several parts: report (default), move, refuse.")
    ] = "",
    endpoint: Annotated[str, typer.Option(help="The LLM endpoint, one of `limbeck llm endpoints`.")] = "",
    llm_model: Annotated[str, typer.Option(help="The LLM; the endpoint's by default.")] = "",
    language: Language = "",
    system_prompt: SystemPromptFile = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Describe labels with an LLM, distil a student, evaluate it on seen and unseen labels, and download it. Exit code
    3 if labels lack attributes; their names are used."""
    from rich.console import Console

    from limbeck.client.downloads import DEFAULT_PARTS
    from limbeck.commands.download import fetch_bundle
    from limbeck.enrich_report import follow_enrichment, missing_text
    from limbeck.progress import follow
    from limbeck.shared.images.dataset_report import Check, DuplicateAction, NearDuplicateAction

    kind = _text_kind(text)
    config = assignments(set_ or [], "--set") | ({"student": student} if student else {})
    chosen_split, images_given = parse_split(split), parse_source(source)
    chosen_check: Check = _choice(check, "--check", get_args(Check))
    chosen_duplicates: DuplicateAction | None = _choice(duplicates or None, "--duplicates", get_args(DuplicateAction))
    chosen_near: NearDuplicateAction | None = _choice(
        near_duplicates or None, "--near-duplicates", get_args(NearDuplicateAction)
    )
    read_bytes(labels)  # before the service is asked
    options: EnrichOptions = {
        "endpoint": endpoint or None,
        "model": llm_model or None,
        "language": language or None,
        "system_prompt": read_text(system_prompt) if system_prompt else None,
    }
    console = Console()
    with service(url) as client:
        vocabulary = create_vocabulary(client, labels, domain, console)
        # The dataset is registered before the first LLM call, so that a wrong folder costs nothing.
        dataset = client.datasets.create(
            vocabulary.id,
            images,
            split=chosen_split,
            images=images_given,
            unlabelled=unlabelled or (),
            check=chosen_check,
            duplicates=chosen_duplicates,
            near_duplicates=chosen_near,
        )
        console.print(_counts_text(dataset.counts), highlight=False)
        for warning in dataset.warnings:
            console.print(f"warning: {warning}", highlight=False, markup=False)
        if dataset.warnings:
            console.print(f"details: limbeck dataset report {dataset.id}", highlight=False, markup=False)
        if not dataset.counts["train"]:
            raise BadInput(f"--split {split}: no image is left to train on")
        attribute_set, missing = None, ""
        if kind != "names":
            chain = _strategies(strategies or _STRATEGIES.get(kind, "describe"))
            options["strategies"] = chain
            options["teacher"] = teacher if _needs_teacher(chain) else None
            described = follow_enrichment(
                client, client.jobs.create("enrich", vocabulary_id=vocabulary.id, **options), console
            )
            attribute_set, missing = (described.result or {})["attribute_set_id"], missing_text(described)
        job = client.jobs.create(
            "distill",
            dataset_id=dataset.id,
            teacher=teacher,
            text=kind,
            concept=concept,
            attribute_set_id=attribute_set,
            recipe=recipe,
            config=config,
        )
        trained = follow(client, job, console, title="distil the student").result or {}
        evaluation = trained["evaluation"]
        rows = [("student", kind, evaluation), *(("teacher", kind, result) for result in evaluation["teacher"])]
        if kind != "names" and (dataset.counts["held_out"] or dataset.counts["ood"]):
            measured_job = follow(
                client,
                client.jobs.create("evaluate", dataset_id=dataset.id, teacher=teacher),
                console,
                title="measure the teacher",
            )
            rows.append(("teacher", "names", (measured_job.result or {})["evaluation"]))
        # The closed-set baseline has an evaluation, but no bundle.
        if trained.get("checkpoint_id"):
            fetch_bundle(client, trained["checkpoint_id"], out, DEFAULT_PARTS)
    if evaluation["id"] or evaluation["ood"]:
        console.print(results_table(rows))
    else:
        console.print("not measured: all images are for training", highlight=False)
    if trained.get("checkpoint_id"):
        console.print(f"try it: limbeck classify {out} IMAGE", highlight=False, markup=False)
    if missing:
        raise LabelsMissing(missing)


def _needs_teacher(strategies: list[str]) -> bool:
    return any(name.partition("@")[0] == "contrast" for name in strategies)


def parse_split(text: str) -> dict[str, object]:
    """`parts`, `all`, a JSON object, or `seed=…,id_fraction=…,held_out=…`, as the API's `split`. Raises BadInput."""
    if text in ("parts", "folders", "all"):
        return {"by": text}
    if text.lstrip().startswith("{"):
        return _json_object(text, "--split")
    return {"by": "seed"} | assignments(re.split(r"\s*,\s*", text.strip()), "--split")


def parse_source(text: str) -> dict[str, object]:
    """A JSON object, as the API's `images`; empty for an empty text. Raises BadInput."""
    return _json_object(text, "--source") if text else {}


def _json_object(text: str, option: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise BadInput(f"{option} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadInput(f"{option} {text!r}: give a JSON object")
    return value


def _choice(text: Any, option: str, choices: Sequence[str]) -> Any:
    """One of the choices, or None. Raises BadInput."""
    if text is not None and text not in choices:
        raise BadInput(f"{option} {text!r}: choose one of {', '.join(choices)}")
    return text


def _strategies(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise BadInput(f"--strategies {text!r}: separate strategies by commas, for example sentence,phrases")
    return names


class PartAccuracy(TypedDict):
    """The part of an evaluation that the table shows."""

    accuracy: float
    chance: float
    num_labels: int


def results_table(rows: Sequence[tuple[str, str, Mapping[str, PartAccuracy]]]) -> "Table":
    """Mean per-class accuracy of each (model, text, evaluation), and of random guessing."""
    from rich.table import Table

    table = Table("", "text", title="mean per-class accuracy", title_style="bold")
    parts = [part for part in ("id", "ood") if rows[0][2].get(part)]
    for part in parts:
        num_labels = rows[0][2][part]["num_labels"]
        table.add_column(f"{'seen' if part == 'id' else 'unseen'} labels ({num_labels})", justify="right")
    for model, text, evaluation in rows:
        table.add_row(model, text, *(f"{evaluation[part]['accuracy']:.1%}" for part in parts))
    table.add_row("chance", "", *(f"{rows[0][2][part]['chance']:.1%}" for part in parts), style="dim")
    return table


def _text_kind(text: str) -> "TextKind":
    from limbeck.models import TEXT_KINDS

    if text not in TEXT_KINDS:
        raise BadInput(f"--text {text!r}: choose one of {', '.join(TEXT_KINDS)}")
    return text


def _counts_text(counts: dict[str, int]) -> str:
    unlabelled = f"; {counts['unlabelled']:,} unlabelled images" if counts.get("unlabelled") else ""
    return (
        f"{counts['train']:,} training images and {counts['held_out']:,} held-out images of {counts['id_labels']} seen "
        f"labels; {counts['ood']:,} images of {counts['ood_labels']} unseen labels{unlabelled}"
    )
