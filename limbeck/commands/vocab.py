"""`limbeck vocab`: create, list and show vocabularies, and what a label file holds, without a service."""

import json
from pathlib import Path
from typing import Annotated

import typer

from limbeck.commands.common import DEFAULT_URL, BadInput, Url, create_vocabulary, read_bytes, service
from limbeck.commands.quantities import local_time
from limbeck.commands.removal import Force, Yes, remove
from limbeck.commands.tables import LIMIT, AsJson, Limit, Owner, print_fields, print_json, print_list

cli = typer.Typer(help="Vocabularies: ordered lists of labels.", no_args_is_help=True)

VocabularyId = Annotated[str, typer.Argument(metavar="VOCABULARY", help="The vocabulary's id: voc_…")]
LabelFile = Annotated[Path, typer.Argument(metavar="FILE", help="A label file: text, CSV, JSON, YAML …")]


@cli.command("create")
def create(
    file: LabelFile,
    name: Annotated[str, typer.Option(help="Name of the vocabulary; by default that of the file.")] = "",
    domain: Annotated[str, typer.Option(help="The category of the labels: birds, dishes, tools.")] = "",
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Create a vocabulary from a label file.

    The file can have one label per line, or be CSV, JSON, YAML or another form that data sets have: `limbeck vocab
    read` shows how it is read.

        limbeck vocab create birds.txt --domain birds
    """
    from rich.console import Console

    with service(url) as client:
        created = create_vocabulary(client, file, domain, Console(stderr=as_json), name=name)
    if as_json:
        print_json(created.model_dump(mode="json"))
    else:
        typer.echo(f"describe its labels: limbeck enrich {created.id}")


@cli.command("list")
def list_(owner: Owner = "", limit: Limit = LIMIT, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """List vocabularies, newest first.

    limbeck vocab list
    limbeck vocab list --json --limit 1000
    """
    with service(url) as client:
        print_list(
            client.vocabularies.list(owner=owner or None),
            {
                "id": lambda row: row.id,
                ">labels": lambda row: f"{row.num_labels:,}",
                "created": lambda row: local_time(row.created_at),
                "domain": lambda row: row.domain,
                "name": lambda row: row.name,
            },
            limit=limit,
            as_json=as_json,
            empty="no vocabulary yet: limbeck vocab create FILE",
        )


@cli.command("show")
def show(id: VocabularyId, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Show a vocabulary.

    limbeck vocab show voc_…
    """
    with service(url) as client:
        found = client.vocabularies.get(id)
    if as_json:
        return print_json(found.model_dump(mode="json"))
    print_fields(
        {
            "id": found.id,
            "name": found.name,
            "domain": found.domain,
            "labels": f"{found.num_labels:,} (limbeck vocab labels {found.id})",
            "owner": found.owner,
            "created": local_time(found.created_at),
            "digest": found.digest,
        }
    )


@cli.command("labels")
def labels(
    id: VocabularyId,
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number to print; all by default.")] = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Print the labels of a vocabulary, one per line; a sense follows after a tab.

    The output is a label file.

        limbeck vocab labels voc_… > labels.txt
    """
    from itertools import islice

    with service(url) as client:
        found = list(islice(client.vocabularies.labels(id), limit))
    if as_json:
        return print_json([label.model_dump(mode="json") for label in found])
    for label in found:
        typer.echo(f"{label.name}\t{label.sense}" if label.sense else label.name)


@cli.command("read")
def read(
    file: LabelFile,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON with senses, ids and aliases.")] = False,
) -> None:
    """Print the labels that would be taken from a file, and on stderr what was dropped. Sends nothing.

    limbeck vocab read synsets.txt
    limbeck vocab read data.yaml > labels.txt
    """
    from limbeck.shared.label_files import LabelFileError, read_label_file

    try:
        found = read_label_file(read_bytes(file), file.name)
    except LabelFileError as error:
        raise BadInput(f"{file}: {error}") from None
    if as_json:
        objects = [{"name": label.name, "sense": label.sense, "ids": label.ids} for label in found.labels]
        typer.echo(json.dumps(objects, ensure_ascii=False, indent=1))
    else:
        for label in found.labels:
            typer.echo(f"{label.name}\t{label.sense}" if label.sense else label.name)
    typer.echo(found.report(), err=True)


@cli.command("rm")
def rm(
    ids: Annotated[list[str], typer.Argument(metavar="VOCABULARY...", help="The ids of the vocabularies: voc_…")],
    force: Force = False,
    yes: Yes = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Delete vocabularies.

    Refused while something refers to it, or while a job needs it. With --force, what refers to it is deleted too.

        limbeck vocab rm voc_…
    """
    with service(url) as client:
        remove(client.vocabularies, ids, force=force, yes=yes, as_json=as_json)
