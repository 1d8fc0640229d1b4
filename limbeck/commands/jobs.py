"""`limbeck jobs`: list and show jobs and their events."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.commands.common import DEFAULT_URL, CommandFailed, LabelsMissing, Url, service
from limbeck.commands.evaluations import accuracy_text, figures_of
from limbeck.commands.job_changes import change_jobs
from limbeck.commands.quantities import local_time, size_text
from limbeck.commands.removal import Force, Yes, remove
from limbeck.commands.tables import LIMIT, AsJson, Limit, Owner, print_fields, print_json, print_list, simple_table
from limbeck.shared.text import counted

if TYPE_CHECKING:
    from rich.console import Console

    from limbeck.models import EpochMetrics, Event, Job

JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id: job_…")]
JobIds = Annotated[list[str], typer.Argument(metavar="JOB...", help="The ids of the jobs: job_…")]
Kind = Annotated[str, typer.Option(help="Only jobs of this kind: enrich, encode, distill, evaluate, prove, check.")]
Status = Annotated[
    str, typer.Option(help="Only jobs with this status: queued, running, paused, succeeded, failed, cancelled …")
]

MAX_CHECKPOINTS = 100

cli = typer.Typer(help="Jobs: list, show, control. Without a command, list them.")


@cli.callback(invoke_without_command=True)
def jobs(
    context: typer.Context,
    kind: Kind = "",
    status: Status = "",
    owner: Owner = "",
    limit: Limit = LIMIT,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Jobs: list, show, control. Without a command, list them, newest first."""
    if context.invoked_subcommand is None:
        list_(kind, status, owner, limit, as_json, url)


@cli.command("list")
def list_(
    kind: Kind = "",
    status: Status = "",
    owner: Owner = "",
    limit: Limit = LIMIT,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """List jobs, newest first, with their stage or what they wait for.

    limbeck jobs list
    limbeck jobs list --owner me --status running
    """
    columns: dict[str, Callable[[Job], object]] = {
        "id": lambda job: job.id,
        "kind": lambda job: job.kind,
        "status": lambda job: job.status,
        "owner": lambda job: job.owner or "",
        "created": lambda job: local_time(job.created_at),
        "progress": _list_text,
    }
    with service(url) as client:
        found = client.jobs.list(kind=kind or None, status=status or None, owner=owner or None)
        print_list(found, columns, limit=limit, as_json=as_json, empty="there are no such jobs")


def _list_text(job: "Job") -> str:
    """What the job does or waits for now; the error of a job that failed."""
    from limbeck.job_texts import progress_text

    if job.ended:
        return job.error.code if job.error else ""
    return job.waiting_for or progress_text(job)


@cli.command("show")
def show(id: JobId, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Show a job: what it does, its stages, its spending and its results.

    limbeck jobs show job_…
    """
    with service(url) as client:
        job = client.jobs.get(id)
    if as_json:
        return print_json(job.model_dump(mode="json"))
    print_fields(_fields(job))
    if job.stages:
        typer.echo("\n" + simple_table(("stage", ">done", ">total", "unit", "rate"), _stage_rows(job)))
    return None


@cli.command("events")
def events(
    id: JobId,
    after: Annotated[int, typer.Option(min=0, help="Only events after this number.")] = 0,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Show the events of a job so far, oldest first. `limbeck watch JOB` waits for those to come.

    limbeck jobs events job_…
    """
    with service(url) as client:
        found = list(client.jobs.events(id, after=after))
    if as_json:
        return print_json([event.model_dump(mode="json") for event in found])
    for event in found:
        typer.echo(event_line(event))
    return None


def _measured(metrics: "EpochMetrics | None") -> str:
    """`81.2%`, or `40.0% mAP` of images with several labels."""
    if metrics is None:
        return ""
    if metrics.mean_ap is not None:
        return f"{metrics.mean_ap:.1%} mAP"
    return "" if metrics.accuracy is None else f"{metrics.accuracy:.1%}"


@cli.command("checkpoints")
def checkpoints(id: JobId, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """List the students that a job has kept while it trains (`limbeck distill --save-every`), by epoch.

    The accuracy is that on held-out images of the seen labels; mAP, if images have several labels.

        limbeck jobs checkpoints job_…
        limbeck download job_… --epoch 10 --out student
    """
    with service(url) as client:
        print_list(
            client.jobs.checkpoints(id),
            {
                ">epoch": lambda row: str(row.epoch),
                ">step": lambda row: f"{row.step:,}",
                ">seen": lambda row: _measured(row.metrics),
                ">top 5": lambda row: f"{row.metrics.top5:.1%}" if row.metrics and row.metrics.top5 is not None else "",
                ">size": lambda row: size_text(sum(file.size for file in row.files)),
                "created": lambda row: local_time(row.created_at),
            },
            limit=MAX_CHECKPOINTS,
            as_json=as_json,
            empty="the job has kept no student so far",
        )


@cli.command("pause")
def pause(ids: JobIds, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Pause jobs: running parts save their state and leave their worker. No effect on a paused job.

    limbeck jobs pause job_…
    """
    with service(url) as client:
        change_jobs(ids, client.jobs.pause, as_json=as_json)


@cli.command("resume")
def resume(ids: JobIds, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Continue paused jobs from their state. No effect on a job that is not paused.

    limbeck jobs resume job_…
    """
    with service(url) as client:
        change_jobs(ids, client.jobs.resume, as_json=as_json)


@cli.command("retry")
def retry(ids: JobIds, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Continue jobs that failed or were cancelled: what succeeded is kept, a training goes on from its last state.

    limbeck jobs retry job_…
    """
    with service(url) as client:
        change_jobs(ids, client.jobs.retry, as_json=as_json)


@cli.command("priority")
def priority(
    id: JobId,
    priority: Annotated[int, typer.Argument(min=-100, max=100, metavar="PRIORITY", help="-100 to 100.")],
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Change the priority of a job. Parts that run are not interrupted. Write `-- -5` for a negative one.

    limbeck jobs priority job_… 10
    """
    with service(url) as client:
        change_jobs([id], lambda job: client.jobs.set_priority(job, priority), as_json=as_json)


@cli.command("rm")
def rm(
    ids: JobIds,
    force: Force = False,
    yes: Yes = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Delete jobs that have ended, with their events.

    Refused while something refers to it, or while a job needs it. With --force, what refers to it is deleted too.

        limbeck jobs rm job_…
    """
    with service(url) as client:
        remove(client.jobs, ids, force=force, yes=yes, as_json=as_json)


def _fields(job: "Job") -> dict[str, object]:
    """Names and values of what is worth knowing about a job."""
    from limbeck.job_texts import duration_text, spend_text, state_text

    named: dict[str, str] = {}
    for source in (job.spec, job.result or {}):
        for name, value in source.items():
            if isinstance(value, str) and (name.endswith("_id") or name in _SPEC_FIELDS):
                named.setdefault(name.removesuffix("_id").replace("_", " "), value)
    return {
        "id": job.id,
        "kind": job.kind,
        "status": state_text(job),
        "error": f"{job.error.code}: {job.error.message}" if job.error else None,
        "owner": job.owner,
        "created": local_time(job.created_at),
        "started": local_time(job.started_at),
        "finished": local_time(job.finished_at),
        "duration": duration_text(job.seconds) if job.seconds is not None else None,
        **named,
        "spending": spend_text(job.spend, ended=job.ended),
        **_accuracies(job),
    }


_SPEC_FIELDS = ("teacher", "text", "recipe", "model", "endpoint", "language", "mode")


def _accuracies(job: "Job") -> dict[str, str]:
    """The accuracies of an evaluation in the result of the job; mAP of images with several labels."""
    evaluation = (job.result or {}).get("evaluation") or {}
    names = {"id": "accuracy, seen", "ood": "accuracy, unseen"}
    return {
        name: f"{accuracy_text(part)} of {counted(part['num_images'], 'image')}, {counted(part['num_labels'], 'label')}"
        for key, name in names.items()
        if (part := figures_of(evaluation, key))
    }


def _stage_rows(job: "Job") -> list[tuple[str, str, str, str, str]]:
    from limbeck.job_texts import duration_text, rate_text

    rows = []
    for stage in job.stages:
        left = f", {duration_text(stage.eta_s)} left" if stage.eta_s is not None else ""
        rate = f"{rate_text(stage.rate)}/s{left}" if stage.rate else ""
        rows.append((stage.name or stage.stage, f"{stage.done:,}", f"{stage.total:,}", stage.unit, rate))
    return rows


def event_line(event: "Event") -> str:
    """`14:03:21 warning 3 texts were shortened`, in the time zone of this machine."""
    return f"{event.at.astimezone():%H:%M:%S} {event.level:7} {event.message}"


def print_end(job: "Job", console: "Console") -> None:
    """Print the results of a job that has ended. Raises CommandFailed unless it succeeded, and LabelsMissing."""
    from limbeck.enrich_report import missing_text, print_report
    from limbeck.errors import JobFailed

    result = job.result or {}
    for name in ("attribute_set_id", "caption_set_id", "text_targets_id", "checkpoint_id"):
        if result.get(name):
            console.print(f"{name.removesuffix('_id').replace('_', ' ')}: {result[name]}", highlight=False)
    for name, text in _accuracies(job).items():
        console.print(f"{name}: {text}", highlight=False)
    if job.kind == "enrich":
        print_report(job, console)
    if job.status != "succeeded":
        raise CommandFailed(str(JobFailed(job)))
    if missing := missing_text(job):
        raise LabelsMissing(missing)
