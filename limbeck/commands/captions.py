"""`limbeck captions`: list, show and download the captions of the images of datasets."""

from typing import Annotated

import typer

from limbeck.commands.common import DEFAULT_URL, Url, service
from limbeck.commands.new_file import OutFile, write_new_file
from limbeck.commands.quantities import local_time, size_text
from limbeck.commands.removal import Force, Yes, remove
from limbeck.commands.tables import LIMIT, AsJson, Limit, Owner, print_fields, print_json, print_list

cli = typer.Typer(help="Captions of images, written by an LLM.", no_args_is_help=True)

CaptionSetId = Annotated[str, typer.Argument(metavar="CAPTION_SET", help="The id of the caption set: cap_…")]


@cli.command("list")
def list_(
    dataset: Annotated[str, typer.Option(help="Only captions of this dataset.")] = "",
    owner: Owner = "",
    limit: Limit = LIMIT,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """List caption sets, newest first.

    limbeck captions list --dataset dst_…
    """
    with service(url) as client:
        print_list(
            client.caption_sets.list(dataset_id=dataset or None, owner=owner or None),
            {
                "id": lambda row: row.id,
                ">images": lambda row: f"{row.num_images:,}",
                ">with caption": lambda row: f"{row.num_captioned:,}",
                ">size": lambda row: size_text(row.size),
                "created": lambda row: local_time(row.created_at),
            },
            limit=limit,
            as_json=as_json,
            empty="no captions yet: an enrich job of a dataset writes them",
        )


@cli.command("show")
def show(id: CaptionSetId, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Show a caption set.

    limbeck captions show cap_…
    """
    with service(url) as client:
        found = client.caption_sets.get(id)
    if as_json:
        return print_json(found.model_dump(mode="json"))
    print_fields(
        {
            "id": found.id,
            "images": f"{found.num_captioned:,} of {found.num_images:,} have a caption",
            "dataset": found.dataset_id,
            "job": found.job_id,
            "model": found.source.get("model"),
            "size": size_text(found.size),
            "owner": found.owner,
            "created": local_time(found.created_at),
            "digest": found.digest,
        }
    )


@cli.command("download")
def download(id: CaptionSetId, out: OutFile, url: Url = DEFAULT_URL) -> None:
    """Download the captions as JSON Lines: `{"path", "sha256", "caption"}` per image.

    limbeck captions download cap_… --out captions.jsonl
    """
    with service(url) as client:
        content = client.caption_sets.export(id)
    write_new_file(out, content)


@cli.command("rm")
def rm(
    ids: Annotated[list[str], typer.Argument(metavar="CAPTION_SET...", help="The ids of the caption sets: cap_…")],
    force: Force = False,
    yes: Yes = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Delete caption sets.

    Refused while something refers to it, or while a job needs it. With --force, what refers to it is deleted too.

        limbeck captions rm cap_…
    """
    with service(url) as client:
        remove(client.caption_sets, ids, force=force, yes=yes, as_json=as_json)
