"""Responses of the service as frozen pydantic models.

Fields of newer services are kept in `model_extra`. A name that this client does not know yet, such as a new kind of
job, is a plain text: therefore the types `… | str`. `tests/limbeck/test_models.py` compares them with the service's.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from limbeck.shared.templates import TEXT_KINDS as TEXT_KINDS
from limbeck.shared.templates import TextKind as TextKind

ENDED = ("succeeded", "failed", "cancelled")
JobKind = Literal["enrich", "distill", "encode", "evaluate", "prove", "check"]
LineKind = Literal["sentence", "phrase", "answer", "contrast", "caption"]
LineOrigin = Literal["llm", "human", "import"]
FormatLevel = Literal["json_schema", "json_object_schema", "json_object", "prose"]
GateName = Literal[
    "meta", "names", "length", "nonvisual", "comparatives", "own", "shared", "verbatim", "twins", "margin"
]


class ServiceResponse(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)


class Vocabulary(ServiceResponse):
    """An ordered, immutable list of labels. `domain` is their category (birds)."""

    id: str
    name: str
    domain: str
    digest: str
    num_labels: int
    created_at: datetime


class Label(ServiceResponse):
    """A label and its position; `sense` distinguishes labels with the same name.

    `ids`: its identifiers in the label file, such as `wnid` and `index`, and its `aliases`; None if it has none.
    """

    position: int
    name: str
    sense: str | None
    ids: dict[str, str | list[str]] | None


class CreatedVocabulary(Vocabulary):
    """A new vocabulary. `read_as`: the form of its label file, None for a JSON body of the API's own schema; `notes`:
    what was changed or dropped; `warnings`: what to check. `reused`: an equal one existed, and this is that one."""

    reused: bool = False
    read_as: str | None
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


class LabelPreview(ServiceResponse):
    """What a label file would become: the report, and the first `labels`."""

    num_labels: int
    read_as: str | None
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    labels: tuple[Label, ...]


class Line(ServiceResponse):
    """A line of a label: a sentence, or a phrase that completes "which has", with its part and value."""

    id: str
    kind: LineKind | str
    text: str
    part: str
    value: str
    about: str
    other_value: str
    origin: LineOrigin | str
    locked: bool
    strategy: str
    call: str


class Attributes(ServiceResponse):
    """The lines of one label. `described` is false if there are none."""

    position: int
    label: str
    sense: str | None
    described: bool
    lines: tuple[Line, ...]
    flags: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The first sentence, or ""."""
        return next((line.text for line in self.lines if line.kind == "sentence"), "")

    @property
    def phrases(self) -> tuple[str, ...]:
        """The texts of the phrases, in order."""
        return tuple(line.text for line in self.lines if line.kind == "phrase")


class SetLabel(Attributes):
    """The lines of one label in a set. `edited`: the draft was requested and changes the label."""

    edited: bool = False


class LabelDifference(ServiceResponse):
    """A label that differs between two sets. `at` is its number in the list; `position` or `with_position` is None if
    one set does not have the label; `other` names further differences: order, provenance, flags, spelling."""

    at: int
    position: int | None
    with_position: int | None
    label: str
    sense: str | None
    added: tuple[Line, ...]
    removed: tuple[Line, ...]
    locked: tuple[Line, ...]
    unlocked: tuple[Line, ...]
    other: tuple[Literal["order", "provenance", "flags", "spelling"] | str, ...]


class Draft(ServiceResponse):
    """Edits of a set that are not sealed yet. A change names the `version` that it applies to."""

    attribute_set_id: str
    version: int
    num_edited: int
    updated_at: datetime | None


class DraftChanged(Draft):
    """The draft after a change, with the new state of the changed labels."""

    changed: tuple[Attributes, ...]


class LLMAnswer(ServiceResponse):
    """A request to an LLM and its response. `key` is the `call` of the lines that it produced."""

    key: str
    model: str
    base_url: str
    strategy: str
    messages: tuple[dict[str, JsonValue], ...]
    answer: str
    created_at: datetime


class LabelResult(Attributes):
    """The result of an enrich job for one label so far; `reason` says why a question failed."""

    reason: str | None
    detail: str | None


class AttributeSet(ServiceResponse):
    """An immutable set of attributes, one entry for each label of its vocabulary."""

    id: str
    vocabulary_id: str
    parent_id: str | None
    digest: str
    num_labels: int
    num_described: int
    num_flagged: int
    source: dict[str, JsonValue]
    created_at: datetime


class LeftOut(ServiceResponse):
    """A text or label of a file that an import left out."""

    pointer: str
    detail: str


class Match(ServiceResponse):
    """A label of a file, and the labels of the vocabulary that have its attributes now."""

    label: str
    labels: tuple[str, ...]


class ImportReport(ServiceResponse):
    """What an import read, changed, matched and left out. Lists are cut; the numbers count all."""

    read_as: str
    encoding: str
    num_labels: int
    num_lines: int
    normalized_texts: int
    normalized_labels: int
    dropped_characters: int
    empty_texts: int
    repeated_texts: int
    warnings: tuple[str, ...]
    num_left_out: int
    left_out: tuple[LeftOut, ...]
    num_exact: int
    num_normalized: int
    num_mapped: int
    num_shared: int
    normalized: tuple[Match, ...]
    mapped: tuple[Match, ...]
    shared: tuple[Match, ...]
    num_without_entry: int
    without_entry: tuple[str, ...]


class ImportedSet(AttributeSet):
    """The set that an import made, with the report of the import."""

    import_report: ImportReport


class LineViolation(ServiceResponse):
    """A line that violates a gate; `words` violate it, or are the line's figure."""

    id: str
    text: str
    words: tuple[str, ...]


class LabelViolation(ServiceResponse):
    """A label that violates a gate, its violating lines, and `others` that it conflicts with."""

    position: int
    label: str
    lines: tuple[LineViolation, ...]
    others: tuple[str, ...]
    note: str


class Gate(ServiceResponse):
    """The result of a gate. `holds` is None if it was not measured, or not judged because of the language of its lines
    (`status`); `worst`: the worst of `num_labels` labels."""

    gate: GateName | str
    tells: str
    figure: float | None
    threshold: float
    unit: Literal["share", "labels", "lines"]
    holds: bool | None
    status: Literal["holds", "fails", "not_judged", "not_measured"]
    num_not_judged: int
    num_labels: int
    judged_by: str
    details: dict[str, JsonValue]
    worst: tuple[LabelViolation, ...]


class Report(ServiceResponse):
    """The results of the quality gates on an attribute set. `teacher` is None without text margins."""

    attribute_set_id: str
    teacher: str | None
    created_at: datetime
    num_labels: int
    num_described: int
    num_lines: int
    holds: bool
    status: Literal["holds", "fails", "not_judged"]
    languages: dict[str, int]
    gates: tuple[Gate, ...]


class Teacher(ServiceResponse):
    """A teacher, identified by the digest of its weights. `ref`: its first reference; `context_length` in tokens."""

    id: str
    ref: str
    digest: str
    width: int
    context_length: int
    logit_scale: float
    preprocess: dict[str, JsonValue]
    created_at: datetime


class TextTargets(ServiceResponse):
    """A teacher's text features of a vocabulary's label texts. `report`: shortened texts and fallbacks to names."""

    id: str
    job_id: str
    teacher_id: str
    vocabulary_id: str
    attribute_set_id: str | None
    text: TextKind
    num_labels: int
    width: int
    report: dict[str, JsonValue]
    digest: str
    size: int
    created_at: datetime


class TargetLabel(ServiceResponse):
    """A label of text targets."""

    label: str
    sense: str | None


class TargetTeacher(ServiceResponse):
    """The teacher of text targets. Only students of the teacher with this digest can use them."""

    ref: str
    digest: str


class TargetLabels(ServiceResponse):
    """The labels of text targets, in the order of their features."""

    text_targets_id: str
    text: TextKind
    teacher: TargetTeacher
    labels: tuple[TargetLabel, ...]


class CaptionSet(ServiceResponse):
    """Captions of the training images of a dataset; images can lack one."""

    id: str
    dataset_id: str
    job_id: str
    source: dict[str, JsonValue]
    num_images: int
    num_captioned: int
    digest: str
    size: int
    created_at: datetime


class Dataset(ServiceResponse):
    """Images in the service's data root, matched to a vocabulary and split. `counts`: images and labels; `warnings`:
    what to look at."""

    id: str
    vocabulary_id: str
    name: str
    path: str
    split: dict[str, JsonValue]
    counts: dict[str, int]
    digest: str
    warnings: tuple[str, ...]
    created_at: datetime


class CreatedDataset(Dataset):
    """A dataset that was posted. `reused`: an equal one existed, and this is that one."""

    reused: bool = False


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
    `repaired_responses` had nearly valid JSON.
    """

    usd: Decimal | None
    tokens: int
    calls: int
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


class Range(ServiceResponse):
    """The expected number, that of one call per question at its limits, and the upper bound with all retries."""

    expected: int
    without_repeats: int
    at_most: int


class UsdRange(ServiceResponse):
    """Exact dollars; the fields as in `Range`. The bill is never above `at_most`."""

    expected: Decimal
    without_repeats: Decimal
    at_most: Decimal


class StrategyEstimate(ServiceResponse):
    """The estimate of one strategy. `is_bound`: the number of calls is an upper bound. `is_sampled`: `answered` is
    extrapolated from a part of the labels. `basis`: `ledger` (means of
    `num_seen` past responses) or `guess` (default lengths)."""

    strategy: str
    questions: int
    answered: int
    is_bound: bool
    is_sampled: bool
    calls: int
    prompt_tokens: Range
    completion_tokens: Range
    basis: Literal["ledger", "guess"] | str
    num_seen: int


class AgainEstimate(ServiceResponse):
    """The maximum usage of repair rounds, with all retries of their questions; `at_most` of the job includes it."""

    rounds: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    usd: Decimal | None


class Estimate(ServiceResponse):
    """The estimated usage and cost of an enrich job. `usd` is None if the price is unknown (`usd_unknown`: the reason),
    `again` is None without repair rounds. `max_attempts`: calls that one question can need. `reasoning_tokens`: how
    many tokens the model is known to think in one response."""

    endpoint: str = "default"  # services before named endpoints do not say it
    model: str
    max_attempts: int
    reasoning_tokens: int
    calls: int
    prompt_tokens: Range
    completion_tokens: Range
    usd: UsdRange | None
    usd_unknown: str | None
    strategies: tuple[StrategyEstimate, ...]
    again: AgainEstimate | None


class LLMEndpoint(ServiceResponse):
    """An LLM server that enrichments can name. `model` is None if they must name one; empty `models` allow all."""

    name: str
    base_url: str
    model: str | None
    models: tuple[str, ...]
    api_version: str | None
    price_known: bool
    concurrency: int
    requests_per_min: int | None
    tokens_per_min: int | None
    in_flight: int | None


class LLMProfile(ServiceResponse):
    """What an LLM server accepts for a model, until it expires."""

    id: str
    base_url: str
    model: str
    response_format: FormatLevel | str | None
    omitted: tuple[str, ...]
    limit_name: str | None
    has_system_role: bool
    reasoning_tokens: int
    learned_at: datetime
    expires_at: datetime


class LLMProfilesReset(ServiceResponse):
    """How many learned profiles were deleted."""

    num_deleted: int


class Job(ServiceResponse):
    """A job. `stage` is the kind of its current or last part, `progress` the progress of that stage.

    `waiting_for`: why none of its parts runs; None while one runs, and at the end. So for `queue`.
    """

    id: str
    kind: JobKind | str
    status: Literal["queued", "running", "cancelling", "succeeded", "failed", "cancelled"] | str
    stage: str | None
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


class ManifestEntry(ServiceResponse):
    """A file in the manifest of a bundle; `size` in bytes."""

    path: str
    sha256: str
    size: int


class BundleFile(ManifestEntry):
    """A file of a checkpoint's bundle; `url` is the path of its download."""

    url: str


class Checkpoint(ServiceResponse):
    """A delivered student and its bundle. `digest` is the sha256 of the manifest."""

    id: str
    job_id: str
    dataset_id: str
    vocabulary_id: str
    attribute_set_id: str | None
    text_targets_id: str
    teacher_id: str
    student: str
    text: TextKind
    evaluation: dict[str, Any]
    digest: str
    created_at: datetime


class CheckpointWithFiles(Checkpoint):
    """A checkpoint with the files of its bundle."""

    files: tuple[BundleFile, ...]


class Page(ServiceResponse):
    """One page of a list. If `has_more`, pass `last_id` as `after` to get the next page."""

    data: tuple[dict[str, JsonValue], ...]
    has_more: bool
    first_id: str | None
    last_id: str | None
