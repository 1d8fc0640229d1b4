"""`limbeck uploads`: list, show and delete uploads. `limbeck upload` sends one."""

from typing import Annotated

import typer

from limbeck.commands.common import DEFAULT_URL, Url, service
from limbeck.commands.quantities import local_time, size_text
from limbeck.commands.removal import Force, Yes, remove
from limbeck.commands.tables import LIMIT, AsJson, Limit, Owner, print_fields, print_json, print_list

cli = typer.Typer(help="Uploads: images that were sent to the service.", no_args_is_help=True)

UploadId = Annotated[str, typer.Argument(metavar="UPLOAD", help="The upload's id: upl_…")]


@cli.command("list")
def list_(owner: Owner = "", limit: Limit = LIMIT, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """List uploads, newest first.

    limbeck uploads list --owner me
    """
    with service(url) as client:
        print_list(
            client.uploads.list(owner=owner or None),
            {
                "id": lambda row: row.id,
                "status": lambda row: row.status,
                ">files": lambda row: f"{row.num_files:,}",
                ">sent": lambda row: size_text(row.received),
                ">size": lambda row: size_text(row.size),
                "created": lambda row: local_time(row.created_at),
                "name": lambda row: row.name,
            },
            limit=limit,
            as_json=as_json,
            empty="no upload yet: limbeck upload FOLDER",
        )


@cli.command("show")
def show(id: UploadId, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Show an upload.

    limbeck uploads show upl_…
    """
    with service(url) as client:
        found = client.uploads.get(id)
    if as_json:
        return print_json(found.model_dump(mode="json"))
    print_fields(
        {
            "id": found.id,
            "name": found.name,
            "kind": found.kind,
            "status": found.status,
            "files": f"{found.num_files:,}",
            "sent": f"{size_text(found.received)} of {size_text(found.size)}",
            "quota": size_text(found.reserved),
            "path": found.path,
            "expires": local_time(found.expires_at) if found.expires_at else None,
            "owner": found.owner,
            "created": local_time(found.created_at),
        }
    )
    return None


@cli.command("rm")
def rm(
    ids: Annotated[list[str], typer.Argument(metavar="UPLOAD...", help="The uploads' ids: upl_…")],
    force: Force = False,
    yes: Yes = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Delete uploads and their files.

    limbeck uploads rm upl_…
    """
    with service(url) as client:
        remove(client.uploads, ids, force=force, yes=yes, as_json=as_json)
