"""The tables. Times are seconds since 1970 (UTC) as doubles; digests are sha256 in hex; `*_key` is an artefact's key.
Money is in whole pico-dollars (`*_pusd`, 1e-12 USD), so that the price of a single token is exact; null is unknown.

Rows of jobs and parts change under rules that stand in `store.jobs.lifecycle` alone; all else is written once.
"""

from typing import Any

from sqlalchemy import JSON, BigInteger, Double, ForeignKey, Index, MetaData, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class Base(DeclarativeBase):
    """Common types, and constraint names that both databases and Alembic agree on."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {dict[str, Any]: Json, list[Any]: Json, float: Double, str: Text}


class ApiKey(Base):
    """A key as it is kept: only the sha256 of its secret."""

    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    sha256: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[list[Any]]
    created_at: Mapped[float]
    expires_at: Mapped[float | None]
    revoked_at: Mapped[float | None]


class IdempotencyRecord(Base):
    """The answer that a POST with this `Idempotency-Key` got, written in the transaction of what it made."""

    __tablename__ = "idempotency_records"
    principal: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_sha256: Mapped[str]
    status: Mapped[int | None]
    headers: Mapped[dict[str, Any] | None]
    body: Mapped[str | None]
    created_at: Mapped[float] = mapped_column(index=True)


class Vocabulary(Base):
    """A list of labels with the domain they come from."""

    __tablename__ = "vocabularies"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    domain: Mapped[str]
    digest: Mapped[str]
    num_labels: Mapped[int]
    created_at: Mapped[float]


class Label(Base):
    """A label at its place in a vocabulary; `sense` tells two of one name apart."""

    __tablename__ = "labels"
    vocabulary_id: Mapped[str] = mapped_column(ForeignKey("vocabularies.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    sense: Mapped[str | None]
    folded: Mapped[str]  # name and sense without case: what a label is found by
    __table_args__ = (Index("ix_labels_vocabulary_id_folded", "vocabulary_id", "folded"),)


class LLMAnswer(Base):
    """A validated answer under the key of everything that shaped it; never a failure.

    `lines` are what it says of the label asked about, `other_lines` of the one it is told apart from; `flags` what
    `attributes.flags` found in it.
    """

    __tablename__ = "llm_answers"
    key: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str]
    base_url: Mapped[str]
    strategy: Mapped[str]
    messages: Mapped[list[Any]]
    answer: Mapped[str]
    lines: Mapped[list[Any]]
    other_lines: Mapped[list[Any] | None]
    flags: Mapped[list[Any]]
    created_at: Mapped[float]


class LLMFlight(Base):
    """A call that a worker is making, so that another job which needs the same waits for its answer."""

    __tablename__ = "llm_flights"
    key: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    expires_at: Mapped[float]


class LLMForm(Base):
    """Which form of request a server understands for a model: the ladder's memory, for all workers."""

    __tablename__ = "llm_forms"
    base_url: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    form: Mapped[dict[str, Any]]
    updated_at: Mapped[float]


class LLMBatch(Base):
    """A batch handed to a server's Batch API by a part, and what became of it."""

    __tablename__ = "llm_batches"
    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), index=True)
    part_id: Mapped[str] = mapped_column(ForeignKey("parts.id"), index=True)
    server_id: Mapped[str | None]
    status: Mapped[str]
    num_requests: Mapped[int]
    detail: Mapped[dict[str, Any]]
    created_at: Mapped[float]
    ended_at: Mapped[float | None]


class LLMCall(Base):
    """One HTTP attempt: the ledger."""

    __tablename__ = "llm_calls"
    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    position: Mapped[int]
    key: Mapped[str]
    strategy: Mapped[str]
    model: Mapped[str]
    mode: Mapped[str]
    attempt: Mapped[int]
    status: Mapped[str]
    http_status: Mapped[int | None]
    prompt_tokens: Mapped[int | None]
    cached_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]
    cost_pusd: Mapped[int | None] = mapped_column(BigInteger)
    latency_s: Mapped[float]
    created_at: Mapped[float]
    __table_args__ = (Index("ix_llm_calls_job_id_id", "job_id", "id"),)


class Spend(Base):
    """What an enrich job may use, has used, and has set aside for calls in flight; running sums of its ledger.

    `unpriced_calls`: those whose cost is not known, so that `spent_pusd` lacks them. `plan`: kind of part → how many
    units it will have at most, and how many questions a unit is.
    """

    __tablename__ = "spends"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    cap_pusd: Mapped[int | None] = mapped_column(BigInteger)
    cap_tokens: Mapped[int | None] = mapped_column(BigInteger)
    plan: Mapped[dict[str, Any]]
    calls: Mapped[int]
    prompt_tokens: Mapped[int] = mapped_column(BigInteger)
    completion_tokens: Mapped[int] = mapped_column(BigInteger)
    spent_pusd: Mapped[int] = mapped_column(BigInteger)
    unpriced_calls: Mapped[int]
    reserved_pusd: Mapped[int] = mapped_column(BigInteger)
    reserved_tokens: Mapped[int] = mapped_column(BigInteger)


class AttributeEntry(Base):
    """What is said of one label, line by line (`attributes.types.Line`), stored once for all sets that say it."""

    __tablename__ = "attribute_entries"
    digest: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str]
    sense: Mapped[str | None]
    lines: Mapped[list[Any]]
    flags: Mapped[list[Any]]


class AttributePage(Base):
    """A run of `PAGE_SIZE` entries' digests (null: none for that label), stored once for all sets that hold it.

    `marks` says which entries are flagged, locked, of what origin: mark → offsets on the page.
    """

    __tablename__ = "attribute_pages"
    digest: Mapped[str] = mapped_column(primary_key=True)
    entries: Mapped[list[Any]]
    marks: Mapped[dict[str, Any]]
    num_described: Mapped[int]
    num_flagged: Mapped[int]


class AttributeSet(Base):
    """An immutable set: a vocabulary's labels with their entries."""

    __tablename__ = "attribute_sets"
    id: Mapped[str] = mapped_column(primary_key=True)
    vocabulary_id: Mapped[str] = mapped_column(ForeignKey("vocabularies.id"), index=True)
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("attribute_sets.id"), index=True)
    digest: Mapped[str]
    num_labels: Mapped[int]
    num_described: Mapped[int]
    num_flagged: Mapped[int]
    source: Mapped[dict[str, Any]]
    created_at: Mapped[float]


class AttributeSetPage(Base):
    """Which page stands where in a set."""

    __tablename__ = "attribute_set_pages"
    set_id: Mapped[str] = mapped_column(ForeignKey("attribute_sets.id"), primary_key=True)
    page: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(ForeignKey("attribute_pages.digest"))


class AttributeDraft(Base):
    """Edits of a set on their way to a new one; `version` is what If-Match names, and only grows: a draft that is
    dropped or sealed is emptied, and its row stays."""

    __tablename__ = "attribute_drafts"
    set_id: Mapped[str] = mapped_column(ForeignKey("attribute_sets.id"), primary_key=True)
    version: Mapped[int]
    created_at: Mapped[float]
    updated_at: Mapped[float]


class AttributeDraftEntry(Base):
    """A label's lines as a draft has them."""

    __tablename__ = "attribute_draft_entries"
    set_id: Mapped[str] = mapped_column(ForeignKey("attribute_drafts.set_id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    lines: Mapped[list[Any]]
    flags: Mapped[list[Any]]


class SetReport(Base):
    """What the gates found in a set; `teacher` is empty where none was asked for its text features."""

    __tablename__ = "set_reports"
    set_id: Mapped[str] = mapped_column(ForeignKey("attribute_sets.id"), primary_key=True)
    teacher: Mapped[str] = mapped_column(primary_key=True)
    figures: Mapped[dict[str, Any]]
    file_key: Mapped[str]
    created_at: Mapped[float]


class GateFailure(Base):
    """A label of a set that a gate caught."""

    __tablename__ = "gate_failures"
    set_id: Mapped[str] = mapped_column(ForeignKey("attribute_sets.id"), primary_key=True)
    gate: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)


class EnrichResult(Base):
    """How one question of an enrich job ended; committed as the answer arrives.

    `step` counts the job's strategies, `position` is the label's (or the image's), `slot` tells several questions about
    it apart (samples, neighbours). `key` is the answer's, null where it failed for `reason`; `side` is 1 where this
    label is the one that the answer tells its own label apart from.
    """

    __tablename__ = "enrich_results"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    slot: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str | None] = mapped_column(ForeignKey("llm_answers.key"))
    side: Mapped[int]
    reason: Mapped[str | None]
    detail: Mapped[str | None]


class EnrichPage(Base):
    """A page of the set that an enrich job is making, put together from its results.

    `inputs` is a digest of all that went in (labels, answers' keys, kept lines): the same again is the same page.
    """

    __tablename__ = "enrich_pages"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    page: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(ForeignKey("attribute_pages.digest"))
    inputs: Mapped[str | None] = mapped_column(index=True)


class MendRound(Base):
    """What a round of mending came to: `inputs` is a digest of all its inputs (see `store.enrich.repair_rounds`)."""

    __tablename__ = "mend_rounds"
    inputs: Mapped[str] = mapped_column(primary_key=True)
    outcome: Mapped[dict[str, Any]]
    file_key: Mapped[str | None]


class CaptionSet(Base):
    """A caption for each image of a dataset, as a file of JSON lines."""

    __tablename__ = "caption_sets"
    id: Mapped[str] = mapped_column(primary_key=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"), index=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    source: Mapped[dict[str, Any]]
    num_images: Mapped[int]
    num_captioned: Mapped[int]
    file_key: Mapped[str]
    digest: Mapped[str]
    size: Mapped[int]
    created_at: Mapped[float]


class Teacher(Base):
    """What torch-free rooms must know of a teacher; filled by a GPU worker that loaded it."""

    __tablename__ = "teachers"
    id: Mapped[str] = mapped_column(primary_key=True)
    ref: Mapped[str] = mapped_column(index=True)
    digest: Mapped[str] = mapped_column(unique=True)
    width: Mapped[int]
    context_length: Mapped[int]
    logit_scale: Mapped[float]
    preprocess: Mapped[dict[str, Any]]
    tokenizer_key: Mapped[str]
    created_at: Mapped[float]


class TextTargets(Base):
    """A teacher's text features (K, D) of a vocabulary's rendered texts, as a file."""

    __tablename__ = "text_targets"
    id: Mapped[str] = mapped_column(primary_key=True)
    vocabulary_id: Mapped[str] = mapped_column(ForeignKey("vocabularies.id"), index=True)
    attribute_set_id: Mapped[str | None] = mapped_column(ForeignKey("attribute_sets.id"), index=True)
    teacher_id: Mapped[str] = mapped_column(ForeignKey("teachers.id"))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    text: Mapped[str]
    num_labels: Mapped[int]
    width: Mapped[int]
    report: Mapped[dict[str, Any]]
    file_key: Mapped[str]
    digest: Mapped[str]
    size: Mapped[int]
    created_at: Mapped[float]


class Dataset(Base):
    """Images under the data root, matched to a vocabulary and split; the list of images is an artefact."""

    __tablename__ = "datasets"
    id: Mapped[str] = mapped_column(primary_key=True)
    vocabulary_id: Mapped[str] = mapped_column(ForeignKey("vocabularies.id"), index=True)
    name: Mapped[str]
    path: Mapped[str]
    split: Mapped[dict[str, Any]]
    counts: Mapped[dict[str, Any]]
    digest: Mapped[str]
    manifest_key: Mapped[str]
    created_at: Mapped[float]


class Job(Base):
    """A request for work; its state is derived from its parts. `stopping`: null, `cancel` or `failure`. `tally`: what
    its parts, but for those that run, come to by kind (see `store.jobs.progress`)."""

    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    status: Mapped[str] = mapped_column(index=True)
    spec: Mapped[dict[str, Any]]
    result: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    stopping: Mapped[str | None]
    tally: Mapped[list[Any]]
    num_events: Mapped[int]
    created_at: Mapped[float]
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]


_RUNNING = text("status = 'running'")


class Part(Base):
    """A piece of a job: what is claimed, leased, retried and cancelled.

    Parts of a stage may run at once; those of the next wait until all of it have ended. `holds_budget`: see
    `store.enrich.usage`.
    """

    __tablename__ = "parts"
    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    position: Mapped[int]
    kind: Mapped[str]
    queue: Mapped[str]
    status: Mapped[str]
    stage: Mapped[int]
    spec: Mapped[dict[str, Any]]
    result: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    attempts: Mapped[int]
    lease_token: Mapped[str | None]
    lease_expires_at: Mapped[float | None]
    worker: Mapped[str | None]
    state_key: Mapped[str | None]
    not_before: Mapped[float]
    sent_at: Mapped[float | None]
    done: Mapped[int]
    total: Mapped[int]
    unit: Mapped[str]
    rate: Mapped[float | None]
    holds_budget: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]
    __table_args__ = (
        # Parts are summed per kind whenever one moves, and those that run at every poll.
        Index("ix_parts_job_id_kind_position", "job_id", "kind", "position"),
        Index("ix_parts_running", "job_id", "kind", postgresql_where=_RUNNING, sqlite_where=_RUNNING),
        # What workers and the sweeper ask for is a handful of live rows among all that ever ran.
        Index("ix_parts_status_queue", "status", "queue", "not_before"),
    )


class Event(Base):
    """Something that happened to a job, numbered per job in the order of commit."""

    __tablename__ = "events"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[float]
    level: Mapped[str]
    type: Mapped[str]
    message: Mapped[str]
    data: Mapped[dict[str, Any]]


class Checkpoint(Base):
    """A trained student's bundle."""

    __tablename__ = "checkpoints"
    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), unique=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"))
    vocabulary_id: Mapped[str] = mapped_column(ForeignKey("vocabularies.id"))
    attribute_set_id: Mapped[str | None] = mapped_column(ForeignKey("attribute_sets.id"), index=True)
    text_targets_id: Mapped[str] = mapped_column(ForeignKey("text_targets.id"))
    teacher_id: Mapped[str] = mapped_column(ForeignKey("teachers.id"))
    student: Mapped[str]
    text: Mapped[str]
    evaluation: Mapped[dict[str, Any]]
    digest: Mapped[str]
    created_at: Mapped[float]


class CheckpointFile(Base):
    """A file of a bundle."""

    __tablename__ = "checkpoint_files"
    checkpoint_id: Mapped[str] = mapped_column(ForeignKey("checkpoints.id"), primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str]
    size: Mapped[int]
    file_key: Mapped[str]


class Beat(Base):
    """When each long-lived process was last seen, for readiness."""

    __tablename__ = "beats"
    name: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str]
    at: Mapped[float]
