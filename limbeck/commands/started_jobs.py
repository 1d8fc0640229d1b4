"""Start a job of a command, or continue one with the same inputs, and print its id at once."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from limbeck import Client
    from limbeck.client.job_requests import CreatedKind
    from limbeck.models import CreatedJob


def start(
    client: "Client", console: "Console", kind: "CreatedKind", *, reuse: bool = False, **options: Any
) -> "CreatedJob":
    """The job, whose id is printed: a new one, or with `reuse` the newest with the same inputs."""
    job = client.jobs.create(kind, reuse=reuse, **options)
    if not job.reused:
        text = f"{kind} job {job.id}"
    elif job.ended:
        text = f"{kind} job {job.id} has done this before: its result is used (--fresh starts anew)"
    else:
        text = f"continues {kind} job {job.id} ({job.status})"
    console.print(text, highlight=False, markup=False)
    return job
