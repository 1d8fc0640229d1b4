"""What the service answers, as frozen pydantic models; fields that a newer service adds are kept in `model_extra`."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

ENDED = ("succeeded", "failed", "cancelled")
TextKind = Literal["names", "sentence", "phrases", "phrases_joined", "answers", "contrast", "all"]
TEXT_KINDS: tuple[TextKind, ...] = get_args(TextKind)


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")


class Vocabulary(_Answer):
    """An ordered, immutable list of labels. `domain` is what they are kinds of."""

    id: str
    name: str
    domain: str
    digest: str
    num_labels: int
    created_at: datetime


class Label(_Answer):
    """A label at its place; `sense` tells two of one name apart."""

    position: int
    name: str
    sense: str | None = None


class Line(_Answer):
    """One thing said of a label: a sentence, or a phrase that completes "which has", with its part and value."""

    id: str
    kind: str
    text: str
    part: str = ""
    value: str = ""
    about: str = ""
    other_value: str = ""
    origin: str
    locked: bool = False
    strategy: str = ""
    call: str = ""


class Attributes(_Answer):
    """What is said of one label, line by line. Where nothing is, `described` is false."""

    position: int
    label: str
    sense: str | None = None
    described: bool
    lines: tuple[Line, ...] = ()
    flags: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The first sentence, or nothing."""
        return next((line.text for line in self.lines if line.kind == "sentence"), "")

    @property
    def phrases(self) -> tuple[str, ...]:
        """The words of the phrases, in order."""
        return tuple(line.text for line in self.lines if line.kind == "phrase")


class SetLabel(Attributes):
    """What a set says of one label; `edited` where its draft was asked for and says something else."""

    edited: bool = False


class LabelDifference(_Answer):
    """A label of which two sets say different things. `position` and `with_position` are None where one lacks it;
    `other` tells what differs beside lines and locks: order, provenance, flags, spelling."""

    position: int | None
    with_position: int | None
    label: str
    sense: str | None = None
    added: tuple[Line, ...]
    removed: tuple[Line, ...]
    locked: tuple[Line, ...]
    unlocked: tuple[Line, ...]
    other: tuple[str, ...]


class Draft(_Answer):
    """Edits of a set that are not sealed yet; a change names the `version` that it starts from."""

    attribute_set_id: str
    version: int
    num_edited: int
    updated_at: datetime | None = None


class DraftChanged(Draft):
    """The draft after a change, and the labels that the change was about as they now stand."""

    changed: tuple[Attributes, ...]


class LLMAnswer(_Answer):
    """What an LLM was asked and what it answered; `key` is the `call` of the lines that came of it."""

    key: str
    model: str
    base_url: str
    strategy: str
    messages: tuple[dict[str, Any], ...]
    answer: str
    created_at: datetime


class LabelResult(Attributes):
    """What an enrich job has of a label so far, and the `reason` why a question about it failed."""

    reason: str | None = None
    detail: str | None = None


class AttributeSet(_Answer):
    """An immutable set of attributes, one entry for each label of its vocabulary."""

    id: str
    vocabulary_id: str
    parent_id: str | None = None
    digest: str
    num_labels: int
    num_described: int
    num_flagged: int
    source: dict[str, Any]
    created_at: datetime


class Offender(_Answer):
    """A label that a gate caught, its lines that offend (`{"id", "text", "words"}`), the labels that it runs into."""

    position: int
    label: str
    lines: tuple[dict[str, Any], ...] = ()
    others: tuple[str, ...] = ()
    note: str = ""


class Gate(_Answer):
    """A gate over a set. `holds` is None where it was not measured; `worst` are the first of `num_labels` offenders."""

    gate: str
    tells: str
    figure: float | None
    threshold: float
    unit: Literal["share", "labels", "lines"]
    holds: bool | None
    num_labels: int
    judged_by: str
    details: dict[str, Any]
    worst: tuple[Offender, ...] = ()


class Report(_Answer):
    """What the quality gates found in an attribute set. `teacher` is None where none was asked."""

    attribute_set_id: str
    teacher: str | None
    created_at: datetime
    num_labels: int
    num_described: int
    num_lines: int
    holds: bool
    gates: tuple[Gate, ...]


class Teacher(_Answer):
    """A teacher by its weights' digest; `ref` is the name it was first loaded by, `context_length` in tokens."""

    id: str
    ref: str
    digest: str
    width: int
    context_length: int
    logit_scale: float
    preprocess: dict[str, Any]
    created_at: datetime


class TextTargets(_Answer):
    """A teacher's text features of a vocabulary's rendered texts; `report` tells what was shortened or fell back."""

    id: str
    vocabulary_id: str
    attribute_set_id: str | None
    text: TextKind
    num_labels: int
    width: int
    report: dict[str, Any]
    digest: str
    created_at: datetime


class CaptionSet(_Answer):
    """A caption for each training image of a dataset, as far as there is one."""

    id: str
    dataset_id: str
    job_id: str
    source: dict[str, Any]
    num_images: int
    num_captioned: int
    digest: str
    size: int
    created_at: datetime


class Dataset(_Answer):
    """Images under the service's data root, matched to a vocabulary and split; `counts` of images and labels."""

    id: str
    vocabulary_id: str
    name: str
    path: str
    split: dict[str, Any]
    counts: dict[str, int]
    digest: str
    created_at: datetime


class Progress(_Answer):
    """How far a job is; `eta_s` is the time left in seconds, None where it cannot be told."""

    done: int
    total: int
    unit: str = ""
    eta_s: float | None = None


class Stage(Progress):
    """How far one stage of a job is; `rate` in units a second, None where nothing of it runs."""

    stage: str
    rate: float | None = None


class JobError(_Answer):
    """Why a job failed."""

    code: str
    message: str


class Spend(_Answer):
    """What an enrich job's calls took so far, and its cap; dollars are exact.

    `usd` lacks the `unpriced_calls`, and is None where those are all. `projected_usd` is what the job will have cost if
    the rest costs what the questions so far did.
    """

    usd: Decimal | None
    tokens: int
    calls: int
    unpriced_calls: int
    cap_usd: Decimal | None
    cap_tokens: int | None
    projected_usd: Decimal | None


class Call(_Answer):
    """One HTTP attempt of an enrich job, or one line of a batch; `cost_usd` is None where nobody knows it."""

    id: str
    position: int
    key: str
    strategy: str
    model: str
    mode: str
    attempt: int
    status: str
    http_status: int | None
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    cost_usd: Decimal | None
    latency_s: float
    created_at: datetime


class Range(_Answer):
    """As expected, and the most it can come to if no call has to be made again."""

    expected: Decimal
    at_most: Decimal


class StrategyEstimate(_Answer):
    """What one strategy will ask: no more than that where `is_bound`. `basis`: `ledger` or `guess`."""

    strategy: str
    questions: int
    answered: int
    is_bound: bool
    calls: int
    prompt_tokens: Range
    completion_tokens: Range
    basis: str
    num_seen: int


class AgainEstimate(_Answer):
    """The most that asking again for what the gates catch can take."""

    rounds: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    usd: Decimal | None


class Estimate(_Answer):
    """What an enrich job will ask and cost; `usd` is None where `usd_unknown` says why, `again` where nothing is asked
    for again."""

    model: str
    calls: int
    prompt_tokens: Range
    completion_tokens: Range
    usd: Range | None
    usd_unknown: str | None
    strategies: tuple[StrategyEstimate, ...]
    again: AgainEstimate | None = None


class Job(_Answer):
    """A request for work; `stage` is the kind of part that it is in, or ended in, and `progress` that of the stage."""

    id: str
    kind: str
    status: Literal["queued", "running", "cancelling", "succeeded", "failed", "cancelled"]
    stage: str | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    progress: Progress
    stages: tuple[Stage, ...] = ()
    spec: dict[str, Any]
    spend: Spend | None = None
    result: dict[str, Any] | None = None
    error: JobError | None = None

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def seconds(self) -> float | None:
        """From start to end, None before both are known."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


class Event(_Answer):
    """Something that happened to a job; `id` ascends from 1 within the job."""

    id: int
    at: datetime
    level: Literal["info", "warning", "error"]
    type: Literal["message", "metrics", "state"]
    message: str
    data: dict[str, Any] = Field(default_factory=dict)


class BundleFile(_Answer):
    """A file of a checkpoint's bundle; `size` in bytes."""

    path: str
    sha256: str
    size: int


class Checkpoint(_Answer):
    """A trained student's bundle; `digest` is its manifest's sha256."""

    id: str
    job_id: str
    dataset_id: str
    vocabulary_id: str
    attribute_set_id: str | None
    text_targets_id: str
    student: str
    text: TextKind
    evaluation: dict[str, Any]
    digest: str
    files: tuple[BundleFile, ...] = ()
    created_at: datetime


class Page(_Answer):
    """A part of a list, its items as they came; `last_id` goes into `after` for the next one where `has_more`."""

    data: tuple[dict[str, Any], ...]
    has_more: bool
    last_id: str | int | None = None
