"""`limbeck dataset create`: register a folder of images for a vocabulary."""

from typing import Annotated

import typer

from limbeck.commands.common import DEFAULT_URL, Url, service
from limbeck.commands.image_options import (
    DEFAULT_SPLIT,
    CheckImages,
    Duplicates,
    FolderMap,
    NearDuplicates,
    OnlyMatching,
    Source,
    Split,
    Unlabelled,
    counts_text,
    image_options,
)
from limbeck.commands.plans import print_plan
from limbeck.commands.refusals import refusals_by_option
from limbeck.commands.tables import AsJson, print_json
from limbeck.commands.train_options import DryRun


def create(
    vocabulary: Annotated[str, typer.Argument(metavar="VOCABULARY", help="The vocabulary of its labels: voc_…")],
    path: Annotated[
        str,
        typer.Argument(metavar="PATH", help="The folder, relative to the data root, or an upload: upl_…, upl_…/birds."),
    ],
    name: Annotated[str, typer.Option(help="Name of the dataset; by default the path or the name of the upload.")] = "",
    split: Split = DEFAULT_SPLIT,
    source: Source = "",
    folder_map: FolderMap = "",
    only_matching: OnlyMatching = False,
    unlabelled: Unlabelled = None,
    check: CheckImages = "full",
    duplicates: Duplicates = "",
    near_duplicates: NearDuplicates = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Match the images of a folder to labels, check and split them. An equal dataset is reused.

    Examples:

      limbeck dataset create voc_… birds
      limbeck dataset create voc_… upl_…
      limbeck dataset create voc_… birds --split all --only-matching
      limbeck dataset create voc_… birds --folder-map '{"012.Crane": "crane"}'
    """
    from rich.console import Console

    options = image_options(
        path,
        split=split,
        source=source,
        folder_map=folder_map,
        only_matching=only_matching,
        unlabelled=unlabelled,
        check=check,
        duplicates=duplicates,
        near_duplicates=near_duplicates,
    )
    console = Console(stderr=as_json)
    with service(url) as client, refusals_by_option(body="/dataset", arguments={"--images": "PATH"}):
        if dry_run:
            planned = {"vocabulary_id": vocabulary, **options.plan(opens_images=True)}
            plan = client.jobs.plan(dataset=planned)
            print_plan(plan, console)
            return print_json(plan.model_dump(mode="json")) if as_json else None
        created = client.datasets.create(vocabulary, name=name or None, **options.fields())
    if as_json:
        return print_json(created.model_dump(mode="json"))
    exists = ", which exists" if created.reused else ""
    text = f"{counts_text(created.counts)}; dataset {created.id}{exists}"
    console.print(text, highlight=False, markup=False, soft_wrap=True)
    for warning in created.warnings:
        console.print(f"warning: {warning}", highlight=False, markup=False)
    if created.warnings:
        console.print(f"details: limbeck dataset report {created.id}", highlight=False, markup=False)
    command = "distill" if created.counts["train"] else "evaluate CHECKPOINT"  # without training images
    teacher = " --teacher TEACHER" if created.counts["train"] else ""
    console.print(f"next: limbeck {command} --dataset {created.id}{teacher}", highlight=False, markup=False)
