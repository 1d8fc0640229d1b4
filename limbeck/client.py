"""The Python client of a Limbeck service.

    from limbeck.client import Limbeck

    with Limbeck("http://127.0.0.1:8420") as limbeck:
        birds = limbeck.create_vocabulary("birds", ["Laysan albatross", "crested auklet"], domain="birds")
        job = limbeck.wait(limbeck.enrich(birds.id))
        for entry in limbeck.attributes(job.result["attribute_set_id"]):
            print(entry.label, entry.sentence)

Whatever does not get through is sent again: see `limbeck.http`. Every method raises `Problem` for what the service
refuses and `Unreachable` where it does not answer, both `LimbeckError`.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import BaseModel

from limbeck import download, events
from limbeck.drafts import Drafts
from limbeck.errors import BrokenDownload, FieldError, JobFailed, LimbeckError, Problem, Unreachable
from limbeck.http import ATTEMPTS, Http
from limbeck.models import (
    Attributes,
    AttributeSet,
    BundleFile,
    Call,
    CaptionSet,
    Checkpoint,
    Dataset,
    Draft,
    DraftChanged,
    Estimate,
    Event,
    Job,
    Label,
    LabelDifference,
    LabelResult,
    LLMAnswer,
    Report,
    SetLabel,
    Teacher,
    TextKind,
    TextTargets,
    Vocabulary,
)

__all__ = [
    "AttributeSet",
    "Attributes",
    "BrokenDownload",
    "Call",
    "CaptionSet",
    "Checkpoint",
    "Dataset",
    "Draft",
    "DraftChanged",
    "Estimate",
    "Event",
    "FieldError",
    "Job",
    "JobFailed",
    "LLMAnswer",
    "Label",
    "LabelDifference",
    "LabelResult",
    "Limbeck",
    "LimbeckError",
    "Problem",
    "Report",
    "SetLabel",
    "Teacher",
    "TextTargets",
    "Unreachable",
    "Vocabulary",
]

DocumentFormat = Literal["json", "csv", "dclip", "cupl"]
FileFormat = Literal["json", "csv", "dclip", "cupl", "label2text", "sentences"]
BUNDLE_PARTS = ("image", "pairing", "onnx", "targets")
Answer = TypeVar("Answer", bound=BaseModel)


class Limbeck:
    """A service at `base_url`; `key` as `limbeck key create` printed it, where the service asks for one."""

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8420",
        key: str | None = None,
        *,
        attempts: int = ATTEMPTS,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._http = Http(base_url, key=key, attempts=attempts, sleep=sleep, transport=transport)
        self.drafts = Drafts(self._http)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ready(self) -> bool:
        """Whether the service has its database, its queue and workers (`/readyz`)."""
        try:
            self._http.request("GET", "/readyz", attempts=1)
        except Problem as problem:
            if problem.status == 503:
                return False
            raise
        return True

    def create_vocabulary(
        self, name: str, labels: Iterable[str | Mapping[str, str | None]], *, domain: str = ""
    ) -> Vocabulary:
        """Keep labels in their order; each a name, or `{"name", "sense"}` where two share a name."""
        listed = [{"name": label} if isinstance(label, str) else dict(label) for label in labels]
        return self._post(Vocabulary, "/v1/vocabularies", {"name": name, "domain": domain, "labels": listed})

    def create_vocabulary_from_text(
        self, name: str, text: str, *, format: Literal["lines", "csv"] = "lines", domain: str = ""
    ) -> Vocabulary:
        """Keep the labels of a file: one a line, or CSV with the header `name` or `name,sense`."""
        response = self._http.request(
            "POST",
            "/v1/vocabularies",
            params={"name": name, "domain": domain},
            content=text.encode(),
            headers={"Content-Type": "text/csv" if format == "csv" else "text/plain"},
        )
        return Vocabulary.model_validate_json(response.content)

    def vocabulary(self, id: str) -> Vocabulary:
        """One vocabulary."""
        return self._get(Vocabulary, "vocabularies", id)

    def vocabularies(self) -> Iterator[Vocabulary]:
        """All vocabularies, newest first."""
        return self._every(Vocabulary, "/v1/vocabularies")

    def labels(self, vocabulary_id: str) -> Iterator[Label]:
        """A vocabulary's labels in order, fetched page by page."""
        return self._every(Label, f"/v1/vocabularies/{quote(vocabulary_id, safe='')}/labels", limit=1000)

    def import_sentences(
        self,
        label2text: str,
        sentences: str,
        *,
        vocabulary_id: str | None = None,
        name: str = "imported",
        domain: str = "",
    ) -> AttributeSet:
        """Keep published attributes: `folder number label` lines and, in the same order, a sentence a line.

        They are matched to the vocabulary's labels, or become a new vocabulary called `name`.
        """
        given = {"format": "label2text", "label2text": label2text, "sentences": sentences}
        return self._import(given, vocabulary_id, name, domain)

    def import_attributes(
        self,
        document: str,
        *,
        format: DocumentFormat = "json",
        vocabulary_id: str | None = None,
        name: str = "imported",
        domain: str = "",
    ) -> AttributeSet:
        """Keep a file of attributes in our own, DCLIP's or CuPL's JSON, or CSV; labels as for `import_sentences`."""
        return self._import({"format": format, "document": document}, vocabulary_id, name, domain)

    def attribute_set(self, id: str) -> AttributeSet:
        """One attribute set."""
        return self._get(AttributeSet, "attribute-sets", id)

    def attribute_sets(
        self, *, vocabulary_id: str | None = None, parent_id: str | None = None
    ) -> Iterator[AttributeSet]:
        """All attribute sets, or those of a vocabulary or made by editing another set, newest first."""
        return self._every(AttributeSet, "/v1/attribute-sets", vocabulary_id=vocabulary_id, parent_id=parent_id)

    def attributes(
        self,
        attribute_set_id: str,
        *,
        q: str = "",
        label: str = "",
        gate: str = "",
        flag: str = "",
        origin: str = "",
        locked: bool = False,
        undescribed: bool = False,
        draft: bool = False,
    ) -> Iterator[SetLabel]:
        """What a set says of each label, in order, fetched page by page; of all labels, or of those that are

        named so in part (`q`, without case) or in whole (`label`), caught by a `gate` in the set's report, of a `flag`,
        with a line of an `origin` (llm, human, import), with a `locked` line, or `undescribed`. `draft`: the lines as
        the set's draft has them.
        """
        where: dict[str, Any] = {"q": q, "label": label, "gate": gate, "flag": flag, "origin": origin}
        where |= {"locked": locked, "undescribed": undescribed, "draft": draft}
        asked = {name: value for name, value in where.items() if value}
        path = f"/v1/attribute-sets/{quote(attribute_set_id, safe='')}/labels"
        return (SetLabel.model_validate(one) for one in self._http.every(path, limit=1000, **asked))

    def compare_attributes(self, attribute_set_id: str, other_id: str) -> Iterator[LabelDifference]:
        """Label by label, what a set says otherwise than the other; often its parent."""
        path = f"/v1/attribute-sets/{quote(attribute_set_id, safe='')}/compare"
        asked: dict[str, Any] = {"with": other_id}
        told = self._http.every(path, limit=100, **asked)
        return (LabelDifference.model_validate(one) for one in told)

    def answer(self, key: str) -> LLMAnswer:
        """What an LLM was asked and what it answered, by the `call` of a line that came of it."""
        return self._get(LLMAnswer, "answers", key)

    def export_attributes(self, attribute_set_id: str, *, format: FileFormat = "json") -> bytes:
        """The set as a file; `label2text` and `sentences` belong together."""
        path = f"/v1/attribute-sets/{quote(attribute_set_id, safe='')}/export"
        return self._http.request("GET", path, params={"format": format}).content

    def export_job(self, job_id: str) -> bytes:
        """What an enrich job has so far, as a file in our own JSON."""
        return self._http.request("GET", f"/v1/jobs/{quote(job_id, safe='')}/export", params={"format": "json"}).content

    def caption_set(self, id: str) -> CaptionSet:
        """One set of captions."""
        return self._get(CaptionSet, "caption-sets", id)

    def caption_sets(self, *, dataset_id: str | None = None) -> Iterator[CaptionSet]:
        """All sets of captions, or those of a dataset, newest first."""
        return self._every(CaptionSet, "/v1/caption-sets", dataset_id=dataset_id)

    def captions(self, caption_set_id: str) -> bytes:
        """The file of a set of captions: JSON lines, `{"path", "sha256", "caption"}` an image."""
        return self._http.request("GET", f"/v1/caption-sets/{quote(caption_set_id, safe='')}/file").content

    def check(self, attribute_set_id: str, *, teacher: str | None = None, text: TextKind | None = None) -> Job:
        """Have the quality gates run over a set; with a teacher, also how far apart it hears the labels' texts."""
        path = f"/v1/attribute-sets/{quote(attribute_set_id, safe='')}/report"
        body = {name: value for name, value in (("teacher", teacher), ("text", text)) if value is not None}
        return self._post(Job, path, body)

    def report(self, attribute_set_id: str, *, teacher: str | None = None) -> Report:
        """What the gates found in a set: the newest report, or that by a teacher. An enrichment makes one."""
        path = f"/v1/attribute-sets/{quote(attribute_set_id, safe='')}/report"
        return Report.model_validate(self._http.json("GET", path, params={"teacher": teacher}))

    def text_targets(self, id: str) -> TextTargets:
        """One set of text targets."""
        return self._get(TextTargets, "text-targets", id)

    def every_text_targets(
        self, *, vocabulary_id: str | None = None, attribute_set_id: str | None = None
    ) -> Iterator[TextTargets]:
        """All text targets, or those of a vocabulary or an attribute set, newest first."""
        return self._every(
            TextTargets, "/v1/text-targets", vocabulary_id=vocabulary_id, attribute_set_id=attribute_set_id
        )

    def register_dataset(
        self,
        vocabulary_id: str,
        path: str,
        *,
        split: Mapping[str, Any],
        name: str | None = None,
        folder_map: Mapping[str, str] | None = None,
    ) -> Dataset:
        """Register a folder of class folders; `path` is relative to the service's data root.

        `split`: `{"by": "seed", "seed": 0, "id_fraction": 0.5, "held_out": 0.3}`, `{"by": "list", "id": […],
        "ood": […]}`, `{"by": "folders"}` or `{"by": "image_lists", "train": …, "held_out": …, "ood": …}`.
        """
        body: dict[str, Any] = {
            "name": name or path,
            "vocabulary_id": vocabulary_id,
            "path": path,
            "split": dict(split),
        }
        if folder_map:
            body["folder_map"] = dict(folder_map)
        return self._post(Dataset, "/v1/datasets", body)

    def dataset(self, id: str) -> Dataset:
        """One dataset."""
        return self._get(Dataset, "datasets", id)

    def datasets(self, *, vocabulary_id: str | None = None) -> Iterator[Dataset]:
        """All datasets, or those of a vocabulary, newest first."""
        return self._every(Dataset, "/v1/datasets", vocabulary_id=vocabulary_id)

    def enrich(
        self,
        vocabulary_id: str,
        *,
        strategies: Sequence[str] = ("describe",),
        model: str | None = None,
        base_set_id: str | None = None,
        teacher: str | None = None,
        neighbours: int | None = None,
        samples: int | None = None,
        budget_usd: Decimal | str | None = None,
        budget_tokens: int | None = None,
        mode: Literal["live", "batch"] | None = None,
        mend_rounds: int | None = None,
    ) -> Job:
        """Have an LLM describe each label, by each of the `strategies`; `model` where it is not to be the operator's.

        `base_set_id`: a set whose locked and human lines are kept. `teacher` and `neighbours` (10 where None): for a
        strategy that tells labels apart from those nearest to them. `samples`: answers to a question of one that
        samples. `budget_usd`, `budget_tokens`: the most that all calls may take; what is answered until then is kept.
        `mode` `batch`: by the server's Batch API, which costs less and may take a day.
        `mend_rounds` (1 where None): how often what the quality gates catch is asked for again.
        """
        return self._job(
            "enrich",
            **_enrich_fields(
                vocabulary_id,
                strategies=strategies,
                model=model,
                base_set_id=base_set_id,
                teacher=teacher,
                neighbours=neighbours,
                samples=samples,
                budget_usd=budget_usd,
                budget_tokens=budget_tokens,
                mode=mode,
                mend_rounds=mend_rounds,
            ),
        )

    def estimate(self, vocabulary_id: str, **how: Any) -> Estimate:
        """What `enrich` with the same arguments would ask and cost; nothing is asked."""
        asked = {name: value for name, value in _enrich_fields(vocabulary_id, **how).items() if value is not None}
        return self._post(Estimate, "/v1/jobs/estimate", {"kind": "enrich", **asked})

    def caption(self, dataset_id: str, *, strategy: str = "captions", model: str | None = None) -> Job:
        """Have a model that sees describe each training image of a dataset in a sentence."""
        return self._job("enrich", dataset_id=dataset_id, strategies=[strategy], model=model)

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
        """Have a teacher encode each label's texts, with a concept word and templates (`{}` for the name) if given."""
        return self._job(
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
        config: Mapping[str, Any] | None = None,
        start_checkpoint_id: str | None = None,
        caption_set_id: str | None = None,
    ) -> Job:
        """Train and measure a student; `config` are fields of the recipe to change (`{"epochs": 10}`).

        `start_checkpoint_id`: for `protocol` `fine_tune`, the student to go on from. `caption_set_id`: what the loss
        `cap` is to read.
        """
        return self._job(
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
        """Measure a checkpoint, or a teacher as it is, on a dataset; `shots`: by retrieval from so many images too."""
        return self._job(
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
        """Measure whether a set's attributes help a teacher, beside controls that say nothing; `result["proof"]`."""
        return self._job(
            "prove",
            attribute_set_id=attribute_set_id,
            dataset_id=dataset_id,
            teacher=teacher,
            concept=concept,
            seeds=seeds,
            filter_phrases=filter_phrases,
        )

    def job(self, id: str) -> Job:
        """One job as it stands."""
        return self._get(Job, "jobs", id)

    def jobs(self, *, status: str | None = None, kind: str | None = None) -> Iterator[Job]:
        """All jobs, newest first."""
        return self._every(Job, "/v1/jobs", status=status, kind=kind)

    def cancel(self, id: str) -> Job:
        """Ask a job to stop; harmless for one that has ended."""
        return self._post(Job, f"/v1/jobs/{quote(id, safe='')}/cancel", None)

    def wait(
        self,
        job: Job | str,
        on_progress: Callable[[Job], None] | None = None,
        *,
        poll_s: float = 0.5,
        timeout_s: float | None = None,
    ) -> Job:
        """Poll until the job has ended, calling `on_progress` with each answer; the job, succeeded.

        Raises JobFailed where it failed or was cancelled, TimeoutError after `timeout_s`.
        """
        id = job if isinstance(job, str) else job.id
        give_up = None if timeout_s is None else time.monotonic() + timeout_s
        pause = min(0.1, poll_s)
        while True:
            now = self.job(id)
            if on_progress:
                on_progress(now)
            if now.status == "succeeded":
                return now
            if now.ended:
                raise JobFailed(now)
            if give_up is not None and time.monotonic() + pause > give_up:
                raise TimeoutError(f"job {id} is still {now.status} after {timeout_s:g} s")
            self._http.sleep(pause)
            pause = min(poll_s, pause * 1.5)

    def watch(self, job: Job | str, *, after: int = 0) -> Iterator[Event]:
        """The job's events above number `after` as they happen, until the one that ends it; survives lost lines."""
        id = job if isinstance(job, str) else job.id
        return events.watch(self._http, f"/v1/jobs/{quote(id, safe='')}/events", after=after)

    def events(self, job_id: str, *, after: int = 0) -> Iterator[Event]:
        """The job's events so far, above number `after`, fetched page by page."""
        return self._every(Event, f"/v1/jobs/{quote(job_id, safe='')}/events", limit=1000, start=after or None)

    def calls(self, job_id: str) -> Iterator[Call]:
        """The ledger of an enrich job so far: every attempt, with what it took and cost."""
        return self._every(Call, f"/v1/jobs/{quote(job_id, safe='')}/calls", limit=1000)

    def labels_so_far(self, job_id: str) -> Iterator[LabelResult]:
        """How each label of an enrich job has ended so far, also while it runs or after it failed."""
        return self._every(LabelResult, f"/v1/jobs/{quote(job_id, safe='')}/labels", limit=1000)

    def teacher(self, id: str) -> Teacher:
        """One teacher that a worker has loaded."""
        return self._get(Teacher, "teachers", id)

    def teachers(self, *, ref: str | None = None) -> Iterator[Teacher]:
        """All teachers that a worker has loaded, or those of one reference, newest first."""
        return self._every(Teacher, "/v1/teachers", ref=ref)

    def checkpoint(self, id: str) -> Checkpoint:
        """One checkpoint and the files of its bundle."""
        return self._get(Checkpoint, "checkpoints", id)

    def checkpoints(
        self, *, job_id: str | None = None, dataset_id: str | None = None, attribute_set_id: str | None = None
    ) -> Iterator[Checkpoint]:
        """All checkpoints, or those of a job, a dataset or an attribute set, newest first; without their files."""
        return self._every(
            Checkpoint, "/v1/checkpoints", job_id=job_id, dataset_id=dataset_id, attribute_set_id=attribute_set_id
        )

    def download_checkpoint(
        self,
        id: str,
        folder: Path | str,
        parts: Sequence[str] | None = ("image", "targets"),
        on_progress: Callable[[str, int, int], None] | None = None,
    ) -> list[Path]:
        """Bring a bundle into `folder`, verified against its manifest; what is there already is not fetched again.

        `parts`: of `BUNDLE_PARTS`, None for all; small files outside of them (evaluation, log, card) always come.
        `on_progress(path, bytes done, bytes in all)`. Raises BrokenDownload where bytes and manifest differ.
        """
        if unknown := set(parts or ()) - set(BUNDLE_PARTS):
            raise ValueError(f"no part {', '.join(sorted(unknown))}: a bundle has {', '.join(BUNDLE_PARTS)}")
        base, out = f"/v1/checkpoints/{quote(id, safe='')}", Path(folder)
        checkpoint = self.checkpoint(id)
        listed = [file for file in checkpoint.files if file.path == download.MANIFEST]
        manifest = next(iter(listed), None)
        if manifest is None:
            raise BrokenDownload(f"checkpoint {id} lists no {download.MANIFEST}")
        manifest_path = self._fetch(base, manifest, out, on_progress)
        files = download.files_of(manifest_path.read_bytes())
        chosen = download.wanted(files, parts, optional=BUNDLE_PARTS)
        return [manifest_path, *(self._fetch(base, file, out, on_progress) for file in chosen)]

    def _fetch(
        self, base: str, file: BundleFile, folder: Path, on_progress: Callable[[str, int, int], None] | None
    ) -> Path:
        def on_bytes(done: int, size: int) -> None:
            if on_progress:
                on_progress(file.path, done, size)

        return download.fetch(self._http, base, file, folder, on_bytes)

    def _import(self, given: Mapping[str, str], vocabulary_id: str | None, name: str, domain: str) -> AttributeSet:
        where = {"vocabulary_id": vocabulary_id} if vocabulary_id else {"name": name, "domain": domain}
        return self._post(AttributeSet, "/v1/attribute-sets/import", {**given, **where})

    def _job(self, kind: str, **fields: Any) -> Job:
        asked = {name: value for name, value in fields.items() if value is not None}
        return self._post(Job, "/v1/jobs", {"kind": kind, **asked})

    def _post(self, answer: type[Answer], path: str, body: Any) -> Answer:
        return answer.model_validate(self._http.json("POST", path, body=body))

    def _get(self, answer: type[Answer], resource: str, id: str) -> Answer:
        return answer.model_validate(self._http.json("GET", f"/v1/{resource}/{quote(id, safe='')}"))

    def _every(
        self, item: type[Answer], path: str, *, limit: int = 100, start: int | None = None, **where: str | None
    ) -> Iterator[Answer]:
        return (item.model_validate(one) for one in self._http.every(path, start=start, limit=limit, **where))


def _prompt(concept: str, templates: Sequence[str]) -> dict[str, Any] | None:
    """How texts are put, as the service takes it; None for its own way."""
    told = {"concept": concept, "templates": list(templates)}
    return {name: value for name, value in told.items() if value} or None


def _enrich_fields(
    vocabulary_id: str,
    *,
    strategies: Sequence[str] = ("describe",),
    budget_usd: Decimal | str | None = None,
    **how: Any,
) -> dict[str, Any]:
    """The arguments of `enrich` as the service takes them."""
    dollars = None if budget_usd is None else f"{Decimal(budget_usd):f}"
    return {"vocabulary_id": vocabulary_id, "strategies": list(strategies), "budget_usd": dollars, **how}
