"""`limbeck dataset`: register a folder of images, list and show datasets, and what lies in the folder of one."""

from typing import Annotated

import typer

from limbeck.commands import dataset_create
from limbeck.commands.common import DEFAULT_URL, Url, service
from limbeck.commands.quantities import local_time
from limbeck.commands.removal import Force, Yes, remove
from limbeck.commands.tables import LIMIT, AsJson, Limit, Owner, print_fields, print_json, print_list

cli = typer.Typer(help="Datasets: images with labels, registered once.", no_args_is_help=True)
cli.command("create")(dataset_create.create)

DatasetId = Annotated[str, typer.Argument(metavar="DATASET", help="The dataset's id: dst_…")]


@cli.command("list")
def list_(
    vocabulary: Annotated[str, typer.Option(help="Only datasets of this vocabulary.")] = "",
    owner: Owner = "",
    limit: Limit = LIMIT,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """List datasets, newest first.

    limbeck dataset list --vocabulary voc_…
    """
    with service(url) as client:
        print_list(
            client.datasets.list(vocabulary_id=vocabulary or None, owner=owner or None),
            {
                "id": lambda row: row.id,
                ">images": lambda row: f"{sum(row.counts[part] for part in ('train', 'held_out', 'ood')):,}",
                ">warnings": lambda row: f"{len(row.warnings):,}",
                "created": lambda row: local_time(row.created_at),
                "name": lambda row: row.name,
            },
            limit=limit,
            as_json=as_json,
            empty="no dataset yet: limbeck dataset create VOCABULARY PATH",
        )


@cli.command("show")
def show(id: DatasetId, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Show a dataset: its counts, its split and what to look at.

    limbeck dataset show dst_…
    """
    with service(url) as client:
        found = client.datasets.get(id)
    if as_json:
        return print_json(found.model_dump(mode="json"))
    counts = found.counts
    print_fields(
        {
            "id": found.id,
            "name": found.name,
            "path": found.path,
            "vocabulary": found.vocabulary_id,
            "seen labels": f"{counts['id_labels']:,}: {counts['train']:,} training and {counts['held_out']:,} held-out",
            "unseen labels": f"{counts['ood_labels']:,}: {counts['ood']:,} images",
            **({} if found.labels_per_image is None else {"labels per image": f"{found.labels_per_image:.2f}"}),
            "split": ", ".join(f"{name}={value}" for name, value in found.split.items()),
            "owner": found.owner,
            "created": local_time(found.created_at),
            "digest": found.digest,
        }
    )
    for warning in found.warnings:
        typer.echo(f"warning: {warning}")
    typer.echo(f"details: limbeck dataset report {found.id}")


@cli.command("report")
def report(
    id: DatasetId,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Show images per label, unusable and skipped files, sizes, and images of the same picture.

    limbeck dataset report dst_…
    """
    from limbeck.shared.images.report_text import print_dataset_report

    with service(url) as client:
        shown = client.datasets.report(id)
    if as_json:
        typer.echo(shown.model_dump_json(indent=1))
    else:
        print_dataset_report(id, shown)


@cli.command("rm")
def rm(
    ids: Annotated[list[str], typer.Argument(metavar="DATASET...", help="The ids of the datasets: dst_…")],
    force: Force = False,
    yes: Yes = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Delete datasets. The images stay where they are.

    Refused while something refers to it, or while a job needs it. With --force, what refers to it is deleted too.

        limbeck dataset rm dst_…
    """
    with service(url) as client:
        remove(client.datasets, ids, force=force, yes=yes, as_json=as_json)
