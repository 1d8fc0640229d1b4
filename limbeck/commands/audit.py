"""`limbeck audit`: the record of writes of a service."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from limbeck.commands.common import DEFAULT_URL, Url, service
from limbeck.commands.quantities import duration_s, local_time
from limbeck.commands.tables import LIMIT, AsJson, Limit, Owner, print_list


def audit(
    owner: Owner = "",
    resource: Annotated[str, typer.Option(help="Only what created or changed this resource: its id.")] = "",
    since: Annotated[str, typer.Option(help="Only of the last 30m, 12h, 7d.")] = "",
    limit: Limit = LIMIT,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """List who changed what, newest first. The key needs the scope admin.

    limbeck audit --owner ann --since 7d
    limbeck audit --resource job_…
    """
    start = datetime.now(UTC) - timedelta(seconds=duration_s(since, "--since")) if since else None
    with service(url) as client:
        print_list(
            client.audit.list(owner=owner or None, resource_id=resource or None, since=start),
            {
                "at": lambda row: local_time(row.at),
                "owner": lambda row: row.owner,
                "status": lambda row: row.status or "",
                "method": lambda row: row.method,
                "route": lambda row: row.route,
                "resource": lambda row: row.resource_id or "",
                "client": lambda row: row.client or "",
            },
            limit=limit,
            as_json=as_json,
            empty="no such records",
        )
