"""Jobs, their events, their LLM calls and what those cost."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import JsonValue

from limbeck.models.base import ServiceResponse

ENDED = ("succeeded", "failed", "cancelled")
JobKind = Literal["enrich", "distill", "encode", "evaluate", "prove", "check"]


class Progress(ServiceResponse):
    """The progress of the current stage of a job. `name`: what users call it; `rate`: units per second, None if no
    part of it runs; `eta_s`: remaining seconds, None if unknown."""

    name: str = ""
    done: int
    total: int
    unit: str
    rate: float | None = None
    eta_s: float | None


class Stage(Progress):
    """The progress of one stage of a job. `stage`: the kind of its parts."""

    stage: str


class Queue(ServiceResponse):
    """The place of a job in its queue: queued parts of earlier jobs, running parts, live workers, and the seconds
    until the next attempt (None for a part that is due)."""

    name: Literal["enrich", "gpu"] | str
    ahead: int
    running: int
    workers: int
    retry_in_s: float | None


class JobError(ServiceResponse):
    """Why a job failed."""

    code: str
    message: str


class Spend(ServiceResponse):
    """Usage and cost of an enrich job so far, and its budget (cap). Dollars are exact.

    `usd` excludes `unpriced_calls`, and is None if all calls are unpriced. `projected_usd` is the total cost if the
    remaining questions cost as much as those so far. `repeated_calls` come after the first call of a question;
    `repaired_responses` had nearly valid JSON. `unconfirmed_usd`, `unconfirmed_tokens` and `unconfirmed_calls` are part
    of `usd`, `tokens` and `calls`: at most what the calls cost that were in flight when a worker was lost.
    """

    usd: Decimal | None
    tokens: int
    calls: int
    # Services of earlier releases send none of these three.
    unconfirmed_usd: Decimal | None = None
    unconfirmed_tokens: int = 0
    unconfirmed_calls: int = 0
    unpriced_calls: int
    repeated_calls: int
    repaired_responses: int
    cap_usd: Decimal | None
    cap_tokens: int | None
    projected_usd: Decimal | None


class Call(ServiceResponse):
    """One HTTP attempt of an enrich job, or one request of a batch. `cost_usd` is None if the price is unknown."""

    id: str
    position: int
    key: str
    strategy: str
    model: str
    mode: Literal["live", "batch"] | str
    attempt: int
    status: str
    http_status: int | None
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    cost_usd: Decimal | None
    latency_s: float
    created_at: datetime


class Job(ServiceResponse):
    """A job. `stage` is the kind of its current or last part, `progress` the progress of that stage.

    `waiting_for`: why none of its parts runs; None while one runs, and at the end. So for `queue`.
    """

    id: str
    kind: JobKind | str
    status: Literal["queued", "running", "pausing", "paused", "cancelling", "succeeded", "failed", "cancelled"] | str
    priority: int = 0
    stage: str | None
    owner: str | None = None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    progress: Progress
    stages: tuple[Stage, ...]
    waiting_for: str | None = None
    queue: Queue | None = None
    spec: dict[str, JsonValue]
    spend: Spend | None
    result: dict[str, Any] | None
    error: JobError | None

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def seconds(self) -> float | None:
        """Seconds from start to end; None before the end."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


class CreatedJob(Job):
    """A job that was posted. `reused`: with `reuse`, this job with the same inputs existed before."""

    reused: bool = False


class Event(ServiceResponse):
    """An event of a job. `id` counts from 1 within the job."""

    id: int
    at: datetime
    level: Literal["info", "warning", "error"] | str
    type: Literal["message", "metrics", "state"] | str
    message: str
    data: dict[str, JsonValue]
