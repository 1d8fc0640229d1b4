"""`limbeck cancel`: stop jobs; finished work is kept."""

from typing import TYPE_CHECKING

from limbeck.commands.common import DEFAULT_URL, Url, service
from limbeck.commands.job_changes import change_jobs
from limbeck.commands.jobs import JobIds
from limbeck.commands.tables import AsJson

if TYPE_CHECKING:
    from limbeck.models import Job


def cancel(
    ids: JobIds,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Cancel jobs. Finished work is kept; a running part stops within seconds. No effect on a job that has ended.

    Exit code 2 if there is no such job.

        limbeck cancel job_…
    """
    with service(url) as client:
        change_jobs(ids, client.jobs.cancel, as_json=as_json, effect=_effect)


def _effect(job: "Job") -> str:
    """`cancelling`, `cancelled`, or `had already succeeded`."""
    return job.status if job.status in ("cancelling", "cancelled") else f"had already {job.status}"
