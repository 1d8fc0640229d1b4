"""`limbeck cancel`: stop jobs; finished work is kept."""

from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.commands.common import DEFAULT_URL, BadInput, CommandFailed, Url, service
from limbeck.commands.tables import AsJson, print_json

if TYPE_CHECKING:
    from limbeck.models import Job


def cancel(
    ids: Annotated[list[str], typer.Argument(metavar="JOB...", help="The ids of the jobs: job_…")],
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Cancel jobs. Finished work is kept; a running part stops within seconds. No effect on a job that has ended.

    Exit code 2 if there is no such job.

        limbeck cancel job_…
    """
    from limbeck.errors import Problem

    cancelled: list[Job] = []
    missing: list[str] = []
    with service(url) as client:
        for id in dict.fromkeys(ids):
            try:
                cancelled.append(client.jobs.cancel(id))
            except Problem as error:
                if error.status != 404:
                    raise CommandFailed(f"{id}: {error}") from None
                missing.append(id)
    if as_json:
        print_json([job.model_dump(mode="json") for job in cancelled])
    else:
        for job in cancelled:
            typer.echo(f"{job.id} {_effect(job)}")
    if missing:
        raise BadInput(f"there is no job {', '.join(missing)}")


def _effect(job: "Job") -> str:
    """`cancelling`, `cancelled`, or `had already succeeded`."""
    return job.status if job.status in ("cancelling", "cancelled") else f"had already {job.status}"
