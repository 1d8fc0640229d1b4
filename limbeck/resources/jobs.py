"""Jobs: create, follow and cancel them; their events, LLM calls and intermediate results."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Literal, TypedDict, Unpack

from limbeck import events
from limbeck.errors import JobFailed
from limbeck.http import Http
from limbeck.models import Call, Estimate, Event, Job, LabelResult, TextKind
from limbeck.resources.requests import get, items, post, resource_path, without_none


class EnrichOptions(TypedDict, total=False):
    """Options of an enrichment. None, or a missing option, is the service's default."""

    strategies: Sequence[str]
    """Prompt strategies, in order; `describe` by default."""
    endpoint: str | None
    """The LLM endpoint; the operator's `default` by default."""
    model: str | None
    """The LLM; the endpoint's by default."""
    base_set_id: str | None
    """A set whose locked and human lines are kept."""
    teacher: str | None
    """For the strategy `contrast`: the teacher that finds confusable labels."""
    neighbours: int | None
    """For the strategy `contrast`: the number of confusable labels; 10 by default."""
    samples: int | None
    """Responses per question, for strategies that sample."""
    budget_usd: Decimal | str | None
    """Maximum cost of all LLM calls; results up to then are kept."""
    budget_tokens: int | None
    """Maximum number of tokens of all LLM calls."""
    mode: Literal["live", "batch"] | None
    """`batch` uses the server's Batch API, which costs less and can take a day."""
    mend_rounds: int | None
    """Maximum number of repair rounds for labels that violate the quality gates; 1 by default."""
    language: str | None
    """The language of the attributes, as a name or a code: `German`, `pt-BR`; English by default."""
    system_prompt: str | None
    """Replaces the system prompt of the strategies; the rules that the response depends on are added to it."""


class JobMethods:
    """Client methods for jobs."""

    _http: Http

    def enrich(self, vocabulary_id: str, **options: Unpack[EnrichOptions]) -> Job:
        """Start a job in which an LLM describes each label with each strategy. Options: `EnrichOptions`."""
        return self._create_job("enrich", **_enrich_fields(vocabulary_id, options))

    def estimate(self, vocabulary_id: str, **options: Unpack[EnrichOptions]) -> Estimate:
        """The number of calls, tokens and the cost of `enrich` with the same arguments. No LLM call is made."""
        fields = without_none(**_enrich_fields(vocabulary_id, options))
        return post(self._http, Estimate, "/v1/jobs/estimate", {"kind": "enrich", **fields})

    def caption(
        self, dataset_id: str, *, strategy: str = "captions", endpoint: str | None = None, model: str | None = None
    ) -> Job:
        """Start a job in which a multimodal LLM writes a sentence about each training image of a dataset."""
        return self._create_job("enrich", dataset_id=dataset_id, strategies=[strategy], endpoint=endpoint, model=model)

    def encode(
        self,
        vocabulary_id: str,
        *,
        teacher: str,
        text: TextKind,
        attribute_set_id: str | None = None,
        concept: str = "",
        templates: Sequence[str] = (),
    ) -> Job:
        """Start a job in which a teacher encodes the texts of each label. `concept`: a word for all labels (`bird`);
        `templates`: text templates with `{}` for the name."""
        return self._create_job(
            "encode",
            vocabulary_id=vocabulary_id,
            teacher=teacher,
            text=text,
            attribute_set_id=attribute_set_id,
            prompt=_prompt(concept, templates),
        )

    def distill(
        self,
        dataset_id: str,
        *,
        teacher: str,
        text: TextKind = "names",
        attribute_set_id: str | None = None,
        concept: str = "",
        templates: Sequence[str] = (),
        recipe: str = "limbeck",
        config: Mapping[str, object] | None = None,
        start_checkpoint_id: str | None = None,
        caption_set_id: str | None = None,
    ) -> Job:
        """Start a job that trains and evaluates a student. `config`: recipe fields to set (`{"epochs": 10}`).

        `start_checkpoint_id`: the initial student for the protocol `fine_tune`. `caption_set_id`: the captions for the
        loss `cap`.
        """
        return self._create_job(
            "distill",
            dataset_id=dataset_id,
            teacher=teacher,
            text=text,
            attribute_set_id=attribute_set_id,
            prompt=_prompt(concept, templates),
            recipe=recipe,
            config=dict(config or {}),
            start_checkpoint_id=start_checkpoint_id,
            caption_set_id=caption_set_id,
        )

    def evaluate(
        self,
        dataset_id: str,
        *,
        checkpoint_id: str | None = None,
        teacher: str | None = None,
        text: TextKind = "names",
        attribute_set_id: str | None = None,
        concept: str = "",
        templates: Sequence[str] = (),
        shots: int = 0,
    ) -> Job:
        """Start a job that evaluates a checkpoint or a teacher on a dataset. `shots`: images per label for a further
        evaluation by retrieval."""
        return self._create_job(
            "evaluate",
            dataset_id=dataset_id,
            checkpoint_id=checkpoint_id,
            teacher=teacher,
            text=text,
            attribute_set_id=attribute_set_id,
            prompt=_prompt(concept, templates),
            shots=shots or None,
        )

    def prove(
        self,
        attribute_set_id: str,
        dataset_id: str,
        *,
        teacher: str,
        concept: str = "",
        seeds: int = 3,
        filter_phrases: bool = False,
    ) -> Job:
        """Start a job that measures whether a set's attributes improve a teacher over controls without information.

        The job's `result["proof"]` holds the measurements.
        """
        return self._create_job(
            "prove",
            attribute_set_id=attribute_set_id,
            dataset_id=dataset_id,
            teacher=teacher,
            concept=concept,
            seeds=seeds,
            filter_phrases=filter_phrases,
        )

    def job(self, id: str) -> Job:
        """The current state of a job."""
        return get(self._http, Job, "jobs", id)

    def jobs(self, *, status: str | None = None, kind: str | None = None) -> Iterator[Job]:
        """All jobs, newest first."""
        return items(self._http, Job, "/v1/jobs", {"status": status, "kind": kind})

    def cancel(self, id: str) -> Job:
        """Request a job to stop; no effect on a job that has ended."""
        return post(self._http, Job, resource_path("jobs", id, "cancel"))

    def wait(
        self,
        job: Job | str,
        on_progress: Callable[[Job], None] | None = None,
        *,
        poll_s: float = 0.5,
        timeout_s: float | None = None,
    ) -> Job:
        """Poll a job until it has succeeded, and return it. `on_progress` is called with the job after each poll.

        Raises JobFailed if it failed or was cancelled, TimeoutError after `timeout_s`.
        """
        id = job if isinstance(job, str) else job.id
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        pause_s = min(0.1, poll_s)
        while True:
            current = self.job(id)
            if on_progress:
                on_progress(current)
            if current.status == "succeeded":
                return current
            if current.ended:
                raise JobFailed(current)
            if deadline is not None and time.monotonic() + pause_s > deadline:
                raise TimeoutError(f"job {id} is still {current.status} after {timeout_s:g} s")
            self._http.sleep(pause_s)
            pause_s = min(poll_s, pause_s * 1.5)

    def watch(self, job: Job | str, *, after: int = 0) -> Iterator[Event]:
        """Stream the job's events with ids above `after`, up to the one that ends the job; reconnects if necessary."""
        id = job if isinstance(job, str) else job.id
        return events.watch(self._http, resource_path("jobs", id, "events"), after=after)

    def events(self, job_id: str, *, after: int = 0) -> Iterator[Event]:
        """The job's events so far with ids above `after`, fetched page by page."""
        return items(self._http, Event, resource_path("jobs", job_id, "events"), limit=1000, start=after or None)

    def calls(self, job_id: str) -> Iterator[Call]:
        """The LLM calls of an enrich job so far: every attempt with its usage and cost."""
        return items(self._http, Call, resource_path("jobs", job_id, "calls"), limit=1000)

    def labels_so_far(self, job_id: str) -> Iterator[LabelResult]:
        """The results of an enrich job by label; also for a running or failed job."""
        return items(self._http, LabelResult, resource_path("jobs", job_id, "labels"), limit=1000)

    def export_job(self, job_id: str) -> bytes:
        """The results of an enrich job so far, as a file in Limbeck's JSON."""
        return self._http.request("GET", resource_path("jobs", job_id, "export"), params={"format": "json"}).content

    def _create_job(self, kind: str, **fields: object) -> Job:
        return post(self._http, Job, "/v1/jobs", {"kind": kind, **without_none(**fields)})


def _prompt(concept: str, templates: Sequence[str]) -> dict[str, object] | None:
    """The field `prompt` of a job; None for the service's default."""
    fields: dict[str, object] = {"concept": concept, "templates": list(templates)}
    return {name: value for name, value in fields.items() if value} or None


def _enrich_fields(vocabulary_id: str, options: EnrichOptions) -> dict[str, object]:
    """The fields of an enrich job in the API."""
    budget_usd = options.get("budget_usd")
    return {
        "vocabulary_id": vocabulary_id,
        **options,
        "strategies": list(options.get("strategies", ("describe",))),
        "budget_usd": None if budget_usd is None else f"{Decimal(budget_usd):f}",
    }
