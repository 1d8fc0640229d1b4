"""`limbeck jobs`, `job`, `cancel` and `download`: list, show and cancel jobs, and download a checkpoint."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.commands.common import DEFAULT_URL, BadInput, CommandFailed, LabelsMissing, Url, id_table, service

if TYPE_CHECKING:
    from rich.console import Console

    from limbeck import Client
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


def download(
    checkpoint: Annotated[str, typer.Argument(metavar="CHECKPOINT", help="The checkpoint's id.")],
    out: Annotated[Path, typer.Option(help="The destination folder.")],
    parts: Annotated[
        str | None,
        typer.Option(
            metavar="PARTS",
            help="Comma-separated: image, pairing, onnx, targets; or all. By default image, onnx and targets.",
        ),
    ] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Download a checkpoint's bundle; an interrupted download is resumed."""
    from rich.console import Console

    from limbeck.client.downloads import BUNDLE_PARTS, DEFAULT_PARTS

    chosen: Sequence[str] | None = DEFAULT_PARTS
    if parts is not None:
        chosen = None if parts.strip() == "all" else [part.strip() for part in parts.split(",") if part.strip()]
    if unknown := set(chosen or ()) - set(BUNDLE_PARTS):
        raise BadInput(f"--parts: unknown part {', '.join(sorted(unknown))}; choose {', '.join(BUNDLE_PARTS)}, or all")
    with service(url) as client:
        fetch_bundle(client, checkpoint, out, chosen, Console())


def fetch_bundle(client: "Client", checkpoint: str, out: Path, parts: Sequence[str] | None, console: "Console") -> None:
    """Download a bundle with a progress bar; every file is verified against the manifest."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

    columns = TextColumn("{task.description}"), BarColumn(bar_width=28), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=console) as bar:
        tasks: dict[str, TaskID] = {}

        def show(path: str, done: int, size: int) -> None:
            if path not in tasks:
                tasks[path] = bar.add_task(path, total=size)
            bar.update(tasks[path], completed=done)

        try:
            paths = client.checkpoints.download(checkpoint, out, parts, show)
        except OSError as error:
            raise CommandFailed(f"{error.filename or out}: {error.strerror}") from None
    size = sum(path.stat().st_size for path in paths)
    console.print(f"{len(paths)} files, {size / 1e6:.1f} MB in {out}, verified against the manifest", highlight=False)


def progress_text(job: "Job") -> str:
    """`120/200 labels`; "" if the total is not known."""
    progress = job.progress
    return f"{progress.done:,}/{progress.total:,} {progress.unit}" if progress.total else ""


def _print_result(job: "Job", console: "Console") -> None:
    result = job.result or {}
    for name in ("attribute_set_id", "text_targets_id", "checkpoint_id"):
        if result.get(name):
            console.print(f"{name.removesuffix('_id').replace('_', ' ')}: {result[name]}", highlight=False)
