"""Change jobs, one after the other, and print what became of each: for `limbeck cancel` and `limbeck jobs pause`."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import typer

from limbeck.commands.common import BadInput, CommandFailed
from limbeck.commands.tables import print_json

if TYPE_CHECKING:
    from limbeck.models import Job


def _status(job: "Job") -> str:
    return job.status


def change_jobs(
    ids: Sequence[str],
    change: "Callable[[str], Job]",
    *,
    as_json: bool,
    effect: "Callable[[Job], str]" = _status,
) -> None:
    """Apply `change` to each job, and print its `effect`, or the jobs as JSON.

    Raises CommandFailed if the service refuses it, and BadInput, after the others, if there is no such job.
    """
    from limbeck.errors import Problem

    changed: list[Job] = []
    missing: list[str] = []
    for id in dict.fromkeys(ids):
        try:
            changed.append(change(id))
        except Problem as error:
            if error.status != 404:
                raise CommandFailed(f"{id}: {error}") from None
            missing.append(id)
    if as_json:
        print_json([job.model_dump(mode="json") for job in changed])
    else:
        for job in changed:
            typer.echo(f"{job.id} {effect(job)}")
    if missing:
        raise BadInput(f"there is no job {', '.join(missing)}")
