"""`limbeck datasets`: list datasets, and show what lies in the folder of one."""

from itertools import islice
from typing import Annotated

import typer

from limbeck.commands import dataset_create
from limbeck.commands.common import DEFAULT_URL, Url, id_table, service

cli = typer.Typer(help="Datasets: list them, and show what lies in their folders.", no_args_is_help=True)
cli.command("create")(dataset_create.create)


@cli.command("list")
def list_(
    vocabulary: Annotated[str, typer.Option(help="Only datasets of this vocabulary.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Maximum number to show.")] = 20,
    url: Url = DEFAULT_URL,
) -> None:
    """List datasets, newest first."""
    from rich.console import Console

    table = id_table("name", "images", "warnings", "created")
    with service(url) as client:
        for row in islice(client.datasets.list(vocabulary_id=vocabulary or None), limit):
            images = sum(row.counts[part] for part in ("train", "held_out", "ood"))
            created = f"{row.created_at:%Y-%m-%d %H:%M} UTC"
            table.add_row(row.id, row.name, f"{images:,}", f"{len(row.warnings):,}", created)
    Console().print(table)


@cli.command()
def report(
    id: Annotated[str, typer.Argument(metavar="DATASET", help="The dataset's id.")],
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Show images per label, unusable and skipped files, sizes, and images of the same picture."""
    from limbeck.shared.images.report_text import print_dataset_report

    with service(url) as client:
        shown = client.datasets.report(id)
    if json:
        typer.echo(shown.model_dump_json(indent=1))
    else:
        print_dataset_report(id, shown)
