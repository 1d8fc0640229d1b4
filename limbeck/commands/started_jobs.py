"""Start a job of a command, or continue one with the same inputs."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from limbeck import Client
    from limbeck.client.job_requests import CreatedKind
    from limbeck.models import CreatedJob


def start(
    client: "Client", console: "Console", kind: "CreatedKind", *, reuse: bool = False, **options: Any
) -> "CreatedJob":
    """A new job, or with `reuse` the newest job with the same inputs, which is then printed."""
    job = client.jobs.create(kind, reuse=reuse, **options)
    if job.reused and job.ended:
        text = f"{kind} job {job.id} has done this before: its result is used (--fresh starts anew)"
        console.print(text, highlight=False, markup=False, soft_wrap=True)
    elif job.reused:
        console.print(f"continues {kind} job {job.id} ({job.status})", highlight=False, markup=False)
    return job
