"""`limbeck teachers`: list and show the teachers that a worker has loaded."""

from typing import Annotated

import typer

from limbeck.commands.common import DEFAULT_URL, Url, service
from limbeck.commands.quantities import local_time
from limbeck.commands.tables import LIMIT, AsJson, Limit, print_fields, print_json, print_list
from limbeck.shared.text import counted

cli = typer.Typer(help="Teachers that a worker has loaded.", no_args_is_help=True)


@cli.command("list")
def list_(
    ref: Annotated[str, typer.Option(help="Only teachers of this reference: ViT-B-32:openai.")] = "",
    limit: Limit = LIMIT,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """List teachers, newest first. A teacher appears when a worker loads it for the first time.

    limbeck teachers list
    """
    with service(url) as client:
        print_list(
            client.teachers.list(ref=ref or None),
            {
                "id": lambda row: row.id,
                ">width": lambda row: f"{row.width:,}",
                ">context": lambda row: f"{row.context_length:,}",
                "first loaded": lambda row: local_time(row.created_at),
                "reference": lambda row: row.ref,
            },
            limit=limit,
            as_json=as_json,
            empty="no worker has loaded a teacher yet",
        )


@cli.command("show")
def show(
    id: Annotated[str, typer.Argument(metavar="TEACHER", help="The teacher's id: tch_…")],
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Show a teacher: its reference, the digest of its weights and its preprocessing.

    limbeck teachers show tch_…
    """
    with service(url) as client:
        found = client.teachers.get(id)
    if as_json:
        return print_json(found.model_dump(mode="json"))
    print_fields(
        {
            "id": found.id,
            "reference": found.ref,
            "width": f"{found.width:,}",
            "context length": counted(found.context_length, "token"),
            "logit scale": f"{found.logit_scale:.4g}",
            "preprocessing": ", ".join(f"{name}={value}" for name, value in found.preprocess.items()),
            "first loaded": local_time(found.created_at),
            "digest": found.digest,
        }
    )
