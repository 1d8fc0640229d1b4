"""`limbeck texts`: list, show and download text targets: a teacher's features of the texts of a vocabulary."""

from pathlib import Path
from typing import Annotated

import typer

from limbeck.commands.common import DEFAULT_URL, Url, service
from limbeck.commands.new_file import OutFile, write_new_file
from limbeck.commands.quantities import local_time, size_text
from limbeck.commands.removal import Force, Yes, remove
from limbeck.commands.tables import LIMIT, AsJson, Limit, Owner, print_fields, print_json, print_list

cli = typer.Typer(help="Text targets: a teacher's features of label texts.", no_args_is_help=True)

TextTargetsId = Annotated[str, typer.Argument(metavar="TEXT_TARGETS", help="The id of the text targets: txt_…")]


@cli.command("list")
def list_(
    vocabulary: Annotated[str, typer.Option(help="Only those of this vocabulary.")] = "",
    attributes: Annotated[str, typer.Option(help="Only those of this attribute set.")] = "",
    owner: Owner = "",
    limit: Limit = LIMIT,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """List text targets, newest first.

    limbeck texts list --vocabulary voc_…
    """
    with service(url) as client:
        print_list(
            client.text_targets.list(
                vocabulary_id=vocabulary or None, attribute_set_id=attributes or None, owner=owner or None
            ),
            {
                "id": lambda row: row.id,
                ">labels": lambda row: f"{row.num_labels:,}",
                ">width": lambda row: f"{row.width:,}",
                ">size": lambda row: size_text(row.size),
                "created": lambda row: local_time(row.created_at),
                "text": lambda row: row.text,
            },
            limit=limit,
            as_json=as_json,
            empty="no text targets yet: limbeck encode, or any distillation, makes them",
        )


@cli.command("show")
def show(id: TextTargetsId, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Show text targets: their inputs, and how many texts were shortened.

    limbeck texts show txt_…
    """
    with service(url) as client:
        found = client.text_targets.get(id)
    if as_json:
        return print_json(found.model_dump(mode="json"))
    shortened = found.report.get("truncated")
    print_fields(
        {
            "id": found.id,
            "text": found.text,
            "labels": f"{found.num_labels:,}",
            "width": f"{found.width:,}",
            "size": size_text(found.size),
            "vocabulary": found.vocabulary_id,
            "attribute set": found.attribute_set_id,
            "teacher": found.teacher_id,
            "job": found.job_id,
            "shortened texts": len(shortened) if isinstance(shortened, list) else "",
            "labels without attributes": found.report.get("without_attributes"),
            "owner": found.owner,
            "created": local_time(found.created_at),
            "digest": found.digest,
        }
    )


@cli.command("download")
def download(id: TextTargetsId, out: OutFile, url: Url = DEFAULT_URL) -> None:
    """Download the features as a safetensors file: `features` (K, D), L2-normalised, in the order of the labels.

    limbeck texts download txt_… --out text_targets.safetensors
    """
    with service(url) as client:
        content = client.text_targets.export(id)
    write_new_file(Path(out), content)


@cli.command("rm")
def rm(
    ids: Annotated[list[str], typer.Argument(metavar="TEXT_TARGETS...", help="The ids of the text targets: txt_…")],
    force: Force = False,
    yes: Yes = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Delete text targets.

    Refused while something refers to it, or while a job needs it. With --force, what refers to it is deleted too.

        limbeck texts rm txt_…
    """
    with service(url) as client:
        remove(client.text_targets, ids, force=force, yes=yes, as_json=as_json)
