"""`limbeck jobs`, `job` and `cancel`: list, show and cancel jobs."""

from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.commands.common import DEFAULT_URL, CommandFailed, LabelsMissing, Url, id_table, service

if TYPE_CHECKING:
    from rich.console import Console

    from limbeck.models import Job

JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]


def jobs(
    url: Url = DEFAULT_URL, limit: Annotated[int, typer.Option(min=1, help="Maximum number to show.")] = 20
) -> None:
    """List jobs, newest first."""
    from itertools import islice

    from rich.console import Console

    table = id_table("kind", "status", "progress", "created")
    with service(url) as client:
        for job in islice(client.jobs.list(), limit):
            table.add_row(job.id, job.kind, job.status, progress_text(job), f"{job.created_at:%Y-%m-%d %H:%M} UTC")
    Console().print(table)


def job(
    id: JobId,
    url: Url = DEFAULT_URL,
    watch: Annotated[bool, typer.Option("--watch", help="Stream events until the job ends.")] = False,
) -> None:
    """Show a job: status, progress, events and results. Exit code 1 if it failed or was cancelled, 3 if labels lack
    attributes."""
    from rich.console import Console

    from limbeck.enrich_report import missing_text, print_report
    from limbeck.errors import JobFailed

    console = Console()
    with service(url) as client:
        shown = client.jobs.get(id)
        console.print(f"{shown.id} {shown.kind} {shown.status} {progress_text(shown)}", highlight=False)
        for event in client.jobs.watch(id) if watch else client.jobs.events(id):
            console.print(f"{event.at:%H:%M:%S} {event.level:7} {event.message}", highlight=False, markup=False)
        shown = client.jobs.get(id)
    _print_result(shown, console)
    if shown.kind == "enrich" and shown.ended:
        print_report(shown, console)
    if shown.ended and shown.status != "succeeded":
        raise CommandFailed(str(JobFailed(shown)))
    if missing := missing_text(shown):
        raise LabelsMissing(missing)


def cancel(id: JobId, url: Url = DEFAULT_URL) -> None:
    """Cancel a job."""
    with service(url) as client:
        typer.echo(f"{id} {client.jobs.cancel(id).status}")


def progress_text(job: "Job") -> str:
    """`120/200 labels`; "" if the total is not known."""
    progress = job.progress
    return f"{progress.done:,}/{progress.total:,} {progress.unit}" if progress.total else ""


def _print_result(job: "Job", console: "Console") -> None:
    result = job.result or {}
    for name in ("attribute_set_id", "text_targets_id", "checkpoint_id"):
        if result.get(name):
            console.print(f"{name.removesuffix('_id').replace('_', ' ')}: {result[name]}", highlight=False)
