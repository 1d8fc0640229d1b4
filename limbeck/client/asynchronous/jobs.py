"""Jobs: create, follow and cancel them; their events, LLM calls and intermediate results."""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, Literal, Unpack, overload

from limbeck.client.asynchronous import events
from limbeck.client.asynchronous.download import download_bundle
from limbeck.client.asynchronous.http import AsyncHttp
from limbeck.client.asynchronous.requests import delete, get, items, patch, post
from limbeck.client.downloads import OnProgress
from limbeck.client.job_requests import (
    CaptionRequest,
    CreatedKind,
    DistillRequest,
    EncodeRequest,
    EnrichRequest,
    EvaluateRequest,
    ProveRequest,
    job_body,
)
from limbeck.client.paths import resource_path, without_none
from limbeck.client.responses import CHECK_TIMEOUT_S, is_outage, parsed
from limbeck.errors import JobFailed, Problem, Unreachable
from limbeck.models import Call, CreatedJob, Deletion, EpochCheckpoint, Estimate, Event, Job, LabelResult
from limbeck.models.plans import JobCheck, Plan

_FIRST_POLL_S = 0.1
_POLL_GROWTH = 1.5
_MAX_OUTAGE_S = 300.0


class AsyncJobs:
    """Jobs: `client.jobs`. A job is given by its id, or as the `Job` itself."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    @overload
    async def create(
        self, kind: Literal["enrich"], *, reuse: bool = False, **options: Unpack[EnrichRequest]
    ) -> CreatedJob: ...
    @overload
    async def create(
        self, kind: Literal["enrich"], *, reuse: bool = False, **options: Unpack[CaptionRequest]
    ) -> CreatedJob: ...
    @overload
    async def create(
        self, kind: Literal["encode"], *, reuse: bool = False, **options: Unpack[EncodeRequest]
    ) -> CreatedJob: ...
    @overload
    async def create(
        self, kind: Literal["distill"], *, reuse: bool = False, **options: Unpack[DistillRequest]
    ) -> CreatedJob: ...
    @overload
    async def create(
        self, kind: Literal["evaluate"], *, reuse: bool = False, **options: Unpack[EvaluateRequest]
    ) -> CreatedJob: ...
    @overload
    async def create(
        self, kind: Literal["prove"], *, reuse: bool = False, **options: Unpack[ProveRequest]
    ) -> CreatedJob: ...
    async def create(self, kind: CreatedKind, *, reuse: bool = False, **options: Any) -> CreatedJob:
        """Start a job of a kind. The options of each kind are the classes of `limbeck.client.job_requests`.

        - `enrich`: an LLM describes each label of a vocabulary (`EnrichRequest`), or captions each training image of a
          dataset (`CaptionRequest`).
        - `encode`: a teacher encodes the texts of a vocabulary's labels (`EncodeRequest`).
        - `distill`: a student is trained and evaluated (`DistillRequest`).
        - `evaluate`: a checkpoint or a teacher is evaluated on a dataset (`EvaluateRequest`).
        - `prove`: the benefit of an attribute set is measured (`ProveRequest`).

        With `reuse`, the result is the newest job with the same inputs that runs or has succeeded, if there is one.

        Raises:
            ValueError: the kind is unknown.
            TypeError: the kind has no such option.
            Problem: the service refuses an option; `errors` names it.
        """
        params = {"reuse": True} if reuse else None
        return await post(self._http, CreatedJob, "/v1/jobs", job_body(kind, options), params=params)

    async def check(self, kind: CreatedKind, *, measure: bool = False, **options: Any) -> JobCheck:
        """What `create` would do with the same arguments; nothing is stored. Raises as `create`.

        Args:
            kind: as for `create`.
            measure: make some steps of a training, to estimate its time; it takes some seconds.
            options: as for `create`.
        """
        body = job_body(kind, options)
        if not measure:
            return await post(self._http, JobCheck, "/v1/jobs", body, params={"dry_run": True})
        params = {"dry_run": True, "measure": True}
        return await post(self._http, JobCheck, "/v1/jobs", body, params=params, read_timeout_s=CHECK_TIMEOUT_S)

    async def plan(
        self,
        jobs: Sequence[tuple[CreatedKind, Mapping[str, Any]]] = (),
        *,
        vocabulary: Mapping[str, object] | None = None,
        dataset: Mapping[str, object] | None = None,
        measure: bool = False,
    ) -> Plan:
        """Check a whole job before anything of it is stored or paid for.

        Args:
            jobs: kind and options of each job, as for `create`. The id `"planned"` stands for the vocabulary, dataset
                or attribute set that does not exist yet.
            vocabulary: `{"name", "domain", "labels"}` of a vocabulary that does not exist yet.
            dataset: the body of a dataset that does not exist yet; its vocabulary is that of the plan unless it names
                one.
            measure: make some steps of a training, to estimate its time; it takes some seconds.

        Raises:
            Problem: something is refused; `errors` has pointers such as `/jobs/1/config/student`.
        """
        body = {"jobs": [job_body(kind, options) for kind, options in jobs]}
        given = without_none(vocabulary=vocabulary, dataset=dataset)
        params = {"measure": True} if measure else {}
        return await post(self._http, Plan, "/v1/plan", body | given, params=params, read_timeout_s=CHECK_TIMEOUT_S)

    @overload
    async def estimate(self, kind: Literal["enrich"], **options: Unpack[EnrichRequest]) -> Estimate: ...
    @overload
    async def estimate(self, kind: Literal["enrich"], **options: Unpack[CaptionRequest]) -> Estimate: ...
    async def estimate(self, kind: Literal["enrich"], **options: Any) -> Estimate:
        """The number of LLM calls, the tokens and the cost of `create` with the same arguments. No call is made."""
        return await post(self._http, Estimate, "/v1/jobs/estimate", job_body(kind, options))

    async def get(self, id: str) -> Job:
        """The current state of a job."""
        return await get(self._http, Job, "jobs", id)

    def list(
        self, *, status: str | None = None, kind: str | None = None, owner: str | None = None
    ) -> AsyncIterator[Job]:
        """All jobs, newest first. `owner`: the name of a key, or `me`."""
        return items(self._http, Job, "/v1/jobs", {"status": status, "kind": kind, "owner": owner})

    async def cancel(self, job: Job | str) -> Job:
        """Request a job to stop; no effect on a job that has ended."""
        return await post(self._http, Job, resource_path("jobs", _id(job), "cancel"))

    async def pause(self, job: Job | str) -> Job:
        """Pause a job: running parts save their state. No effect on a job that is paused.

        Raises:
            Conflict: it has ended (`job_ended`), or is being cancelled (`job_stopping`).
        """
        return await post(self._http, Job, resource_path("jobs", _id(job), "pause"))

    async def resume(self, job: Job | str) -> Job:
        """Continue a paused job. No effect on a job that is not paused. Raises as `pause`."""
        return await post(self._http, Job, resource_path("jobs", _id(job), "resume"))

    async def retry(self, job: Job | str) -> Job:
        """Continue a job that failed or was cancelled: what succeeded is kept, a training goes on from its last state.

        Raises:
            Conflict: it did not fail (`job_not_failed`), or its budget is spent (`budget_spent`).
        """
        return await post(self._http, Job, resource_path("jobs", _id(job), "retry"))

    async def set_priority(self, job: Job | str, priority: int) -> Job:
        """Change the priority of a job, from -100 to 100: higher ones come first in their queue.

        Raises:
            Conflict: it has ended (`job_ended`).
        """
        return await patch(self._http, Job, resource_path("jobs", _id(job)), {"priority": priority})

    async def delete(self, job: Job | str, *, force: bool = False) -> Deletion:
        """Delete a job that has ended, with its events; with `force`, also everything that it made.

        Raises:
            Conflict: it has not ended (`job_running`), or what it made exists (`in_use`); `errors` name it.
        """
        return await delete(self._http, "jobs", _id(job), force=force)

    async def wait(self, job: Job | str, *, poll_s: float = 0.5, timeout_s: float | None = None) -> Job:
        """Wait until a job has succeeded, and return it.

        Args:
            job: the job or its id.
            poll_s: longest pause between two requests, in seconds.
            timeout_s: longest time to wait, in seconds; None for no limit.

        Raises:
            JobFailed: the job failed or was cancelled.
            TimeoutError: the job has not ended after `timeout_s`; it goes on.
        """
        async for current in self.updates(job, poll_s=poll_s, timeout_s=timeout_s):
            latest = current
        if latest.status != "succeeded":
            raise JobFailed(latest)
        return latest

    async def updates(
        self,
        job: Job | str,
        *,
        poll_s: float = 0.5,
        timeout_s: float | None = None,
        unchanged: bool = False,
    ) -> AsyncIterator[Job]:
        """Yield the job now and after each change, up to the state in which it has ended, whatever its status.

        Args:
            job: the job or its id.
            poll_s: longest pause between two requests, in seconds.
            timeout_s: longest time to wait, in seconds; None for no limit.
            unchanged: yield the job after each request, for a display that shows the time.

        After the first answer, the service may be away for five minutes: the job goes on without this client.

        Raises:
            TimeoutError: the job has not ended after `timeout_s`; it goes on.
            Unreachable: the service did not answer at first, or for five minutes.
        """
        deadline = None if timeout_s is None else monotonic() + timeout_s
        pause_s, latest = min(_FIRST_POLL_S, poll_s), None
        answered_at = None
        while True:
            try:
                current = await self.get(_id(job))
            except (Unreachable, Problem) as error:
                if answered_at is None or not is_outage(error) or monotonic() - answered_at > _MAX_OUTAGE_S:
                    raise
            else:
                answered_at = monotonic()
                if unchanged or current != latest:
                    latest = current
                    yield current
                if current.ended:
                    return
            if deadline is not None and monotonic() + pause_s > deadline:
                raise TimeoutError(f"job {current.id} is still {current.status} after {timeout_s:g} s")
            await self._http.sleep(pause_s)
            pause_s = min(poll_s, pause_s * _POLL_GROWTH)

    def watch(self, job: Job | str, *, after: int = 0) -> AsyncIterator[Event]:
        """Stream the job's events with ids above `after`, up to the one that ends the job; reconnects if necessary.

        Raises:
            Problem: there is no such job.
            Unreachable: consecutive attempts brought no new event.
        """
        return events.watch(self._http, resource_path("jobs", _id(job), "events"), after=after)

    def events(self, job: Job | str, *, after: int = 0) -> AsyncIterator[Event]:
        """The job's events so far with ids above `after`, fetched page by page."""
        return items(self._http, Event, resource_path("jobs", _id(job), "events"), limit=1000, start=after or None)

    def calls(self, job: Job | str) -> AsyncIterator[Call]:
        """The LLM calls of an enrich job so far: every attempt with its usage and cost."""
        return items(self._http, Call, resource_path("jobs", _id(job), "calls"), limit=1000)

    def labels_so_far(self, job: Job | str) -> AsyncIterator[LabelResult]:
        """The results of an enrich job by label; also for a running or failed job."""
        return items(self._http, LabelResult, resource_path("jobs", _id(job), "labels"), limit=1000)

    def checkpoints(self, job: Job | str) -> AsyncIterator[EpochCheckpoint]:
        """The students that a distill job with `save_checkpoints` has kept so far, by epoch."""
        return items(self._http, EpochCheckpoint, resource_path("jobs", _id(job), "checkpoints"))

    async def download_checkpoint(
        self, job: Job | str, epoch: int, folder: Path | str, on_progress: OnProgress | None = None
    ) -> tuple[Path, ...]:
        """Download the student that a job has kept after an epoch: all files of its bundle, verified and continued as
        `client.checkpoints.download` does.

        Returns:
            The paths of the files, `manifest.json` first.

        Raises:
            Problem: the job has kept no student of this epoch, or has dropped it for a newer one.
            FilesInTheWay: the folder holds another checkpoint, or other files under the same names.
            DiskFull: the bundle does not fit on the disk.
            BrokenDownload: a file does not match the manifest, or the manifest is invalid.
            OSError: a file cannot be written for another reason.
        """
        url = resource_path("jobs", _id(job), "checkpoints", str(epoch))
        kept = parsed(EpochCheckpoint, await self._http.request("GET", url))
        name = f"{kept.job_id}, epoch {epoch},"
        return await download_bundle(self._http, url, name, kept.files, Path(folder), None, on_progress)

    async def export(self, job: Job | str) -> bytes:
        """The results of an enrich job so far, as a file in Limbeck's JSON."""
        path = resource_path("jobs", _id(job), "export")
        return (await self._http.request("GET", path, params={"format": "json"})).content


def _id(job: Job | str) -> str:
    return job if isinstance(job, str) else job.id
