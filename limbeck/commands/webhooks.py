"""`limbeck webhooks`: URLs that the service calls when a job ends."""

from typing import Annotated

import typer

from limbeck.commands.common import DEFAULT_URL, Url, service
from limbeck.commands.quantities import local_time
from limbeck.commands.tables import LIMIT, AsJson, Limit, Owner, print_fields, print_json, print_list

cli = typer.Typer(help="URLs that the service calls when a job ends.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="WEBHOOK", help="The webhook's id: whk_…")]


@cli.command("add")
def add(
    target: Annotated[str, typer.Argument(metavar="URL", help="https://… or http://…, to a host the operator allows.")],
    on: Annotated[list[str] | None, typer.Option("--on", help="An event: job.failed; by default every end.")] = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Add a webhook for your jobs, and print the secret that signs its messages.

    limbeck webhooks add https://ci.example.org/limbeck --on job.failed
    """
    with service(url) as client:
        made = client.webhooks.create(target, on or None)
    if as_json:
        return print_json(made.model_dump(mode="json"))
    print_fields({"id": made.id, "events": ", ".join(made.events), "secret": made.secret or ""})
    typer.echo("the secret is not shown again", err=True)


@cli.command("list")
def list_(owner: Owner = "", limit: Limit = LIMIT, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """List webhooks, newest first.

    limbeck webhooks list
    """
    with service(url) as client:
        print_list(
            client.webhooks.list(owner=owner or None),
            {
                "id": lambda row: row.id,
                "created": lambda row: local_time(row.created_at),
                "owner": lambda row: row.owner or "",
                "events": lambda row: ", ".join(row.events),
                "url": lambda row: row.url,
            },
            limit=limit,
            as_json=as_json,
            empty="there is no webhook",
        )


@cli.command("show")
def show(id: Id, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Show a webhook and its newest messages.

    limbeck webhooks show whk_…
    """
    with service(url) as client:
        found = client.webhooks.get(id)
    if as_json:
        return print_json(found.model_dump(mode="json"))
    print_fields({"id": found.id, "url": found.url, "events": ", ".join(found.events), "owner": found.owner or ""})
    print_list(
        found.deliveries,
        {
            "message": lambda row: row.id,
            "created": lambda row: local_time(row.created_at),
            "event": lambda row: row.event,
            ">attempts": lambda row: str(row.attempts),
            "delivered": lambda row: local_time(row.delivered_at),
            "next attempt": lambda row: local_time(row.next_at),
            "error": lambda row: row.error or "",
        },
        limit=len(found.deliveries) or 1,
        as_json=False,
        empty="no message yet",
    )


@cli.command("ping")
def ping(id: Id, url: Url = DEFAULT_URL) -> None:
    """Send a message that only tests the webhook.

    limbeck webhooks ping whk_…
    """
    with service(url) as client:
        typer.echo(f"message {client.webhooks.ping(id).id} is queued: limbeck webhooks show {id}")


@cli.command("rm")
def rm(id: Id, url: Url = DEFAULT_URL) -> None:
    """Delete a webhook.

    limbeck webhooks rm whk_…
    """
    with service(url) as client:
        client.webhooks.delete(id)
    typer.echo(f"{id} is deleted")
