"""The tables. Times are seconds since 1970 (UTC) as doubles; digests are sha256 in hex; `*_key` is an artefact key.
Money is in whole pico-dollars (`*_pusd`, 1e-12 USD), so that the price of a single token is exact; null means unknown.

Tables that can have very many rows of one job, vocabulary or set have no foreign key to it, so that it can be deleted
before them (`store.removal.kinds.PURGED`).

Only `store.jobs.claims` and `store.lifecycle.transitions` change the state of jobs and parts. Most other rows are
written once.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import JSON, BigInteger, Double, ForeignKey, ForeignKeyConstraint, Index, MetaData, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column, validates

from store.json_types import LineJSON, TallyJSON

Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class Base(DeclarativeBase):
    """Column types, and constraint names that are the same on both databases and in Alembic."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {
        dict[str, Any]: Json,
        dict[str, list[int]]: Json,
        dict[str, int]: Json,
        dict[str, float]: Json,
        dict[str, object]: Json,
        dict[str, str | list[str]]: Json,
        dict[str, str]: Json,
        list[LineJSON]: Json,
        list[TallyJSON]: Json,
        list[dict[str, object]]: Json,
        list[str | None]: Json,
        list[str]: Json,
        list[int]: Json,
        float: Double,
        str: Text,
    }


class Owned:
    """A resource with an owner (`store.access.principals`); rows of releases without owners have none.

    Lists of an owner's resources are read in the order of `id`.
    """

    owner: Mapped[str | None]

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[Index, ...]:
        name: str = cls.__tablename__  # type: ignore[attr-defined]
        return (Index(f"ix_{name}_owner_id", "owner", "id"),)


class ApiKey(Base):
    """An API key. Only the sha256 of its secret is stored. `store.access.limits` has its limits; null: none.

    `last_used_at` is written at most once a minute.
    """

    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    sha256: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[list[str]]
    created_at: Mapped[float]
    expires_at: Mapped[float | None]
    revoked_at: Mapped[float | None]
    requests_per_min: Mapped[int | None]
    max_jobs: Mapped[int | None]
    budget_pusd: Mapped[int | None] = mapped_column(BigInteger)
    last_used_at: Mapped[float | None]


class AuditRecord(Base):
    """A request or a command that changed something, or was refused (`store.access.audit`)."""

    __tablename__ = "audit_records"
    id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[float]
    owner: Mapped[str]
    key_id: Mapped[str | None]
    method: Mapped[str]
    route: Mapped[str]
    resource_id: Mapped[str | None]
    status: Mapped[int | None]
    request_id: Mapped[str | None]
    client: Mapped[str | None]
    __table_args__ = (
        Index("ix_audit_records_owner_id", "owner", "id"),
        Index("ix_audit_records_resource_id_id", "resource_id", "id"),
    )


class BrowserSession(Base):
    """A browser that signed in with a key. Only the sha256 of the cookie's token is stored."""

    __tablename__ = "browser_sessions"
    sha256: Mapped[str] = mapped_column(primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id"), index=True)
    created_at: Mapped[float]
    expires_at: Mapped[float] = mapped_column(index=True)


class Webhook(Base):
    """A URL that is called when a job of `owner` ends. `secret` signs the messages, so it is stored as it is."""

    __tablename__ = "webhooks"
    id: Mapped[str] = mapped_column(primary_key=True)
    url: Mapped[str]
    events: Mapped[list[str]]
    owner: Mapped[str | None] = mapped_column(index=True)
    secret: Mapped[str]
    created_at: Mapped[float]


class WebhookDelivery(Base):
    """A message to a webhook. `next_at`: the time of the next attempt, null after the last one."""

    __tablename__ = "webhook_deliveries"
    id: Mapped[str] = mapped_column(primary_key=True)
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id"), index=True)
    event: Mapped[str]
    data: Mapped[dict[str, object]]
    created_at: Mapped[float]
    next_at: Mapped[float | None] = mapped_column(index=True)
    attempts: Mapped[int]
    delivered_at: Mapped[float | None]
    http_status: Mapped[int | None]
    error: Mapped[str | None]


class IdempotencyRecord(Base):
    """The response to a POST with this `Idempotency-Key`, written in the transaction that executed the POST."""

    __tablename__ = "idempotency_records"
    principal: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_sha256: Mapped[str]
    status: Mapped[int | None]
    headers: Mapped[dict[str, str] | None]
    body: Mapped[str | None]
    created_at: Mapped[float] = mapped_column(index=True)


class Vocabulary(Owned, Base):
    """An ordered list of labels and their domain.

    `digest` covers the domain, the names and the senses; `inputs_digest` also the identifiers of the labels. An equal
    vocabulary is not stored twice. Vocabularies of earlier versions have no `inputs_digest`.
    """

    __tablename__ = "vocabularies"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    domain: Mapped[str]
    digest: Mapped[str]
    inputs_digest: Mapped[str | None] = mapped_column(index=True, unique=True)
    num_labels: Mapped[int]
    created_at: Mapped[float]


class Label(Base):
    """A label and its position in a vocabulary; `sense` distinguishes labels of the same name.

    `ids`: the identifiers and aliases that the label file gives. They are not part of the vocabulary's digest.
    """

    __tablename__ = "labels"
    vocabulary_id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    sense: Mapped[str | None]
    folded: Mapped[str]  # case-folded name and sense, for lookups and search
    ids: Mapped[dict[str, str | list[str]] | None]
    __table_args__ = (Index("ix_labels_vocabulary_id_folded", "vocabulary_id", "folded"),)


class LLMAnswer(Base):
    """Cache of validated LLM responses; failures are never stored. `key` is a digest of everything in the request.

    `lines` are the lines for the label of the question, `other_lines` those for the other label of a pair. `flags` are
    the flags that `attributes.flags` computed for the response.
    """

    __tablename__ = "llm_answers"
    key: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str]
    base_url: Mapped[str]
    strategy: Mapped[str]
    messages: Mapped[list[dict[str, object]]]
    answer: Mapped[str]
    lines: Mapped[list[LineJSON]]
    other_lines: Mapped[list[LineJSON] | None]
    flags: Mapped[list[str]]
    created_at: Mapped[float]


class LLMFlight(Base):
    """Single-flight lock: the call that a part is making, so that other jobs wait for its response."""

    __tablename__ = "llm_flights"
    key: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    expires_at: Mapped[float]


class LLMModelProfile(Base):
    """What a server accepts for a model (`attributes.llm.model_profile`), shared by all workers until it expires."""

    __tablename__ = "llm_model_profiles"
    base_url: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    profile: Mapped[dict[str, object]]
    learned_at: Mapped[float]
    expires_at: Mapped[float]


class LLMOutage(Base):
    """The last time that a server did not respond for a model, as the workers saw it."""

    __tablename__ = "llm_outages"
    base_url: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[float]
    failed_at: Mapped[float]


class LLMBatch(Base):
    """A batch that a part submitted to the Batch API of a server, and its status."""

    __tablename__ = "llm_batches"
    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(index=True)
    part_id: Mapped[str] = mapped_column(index=True)
    server_id: Mapped[str | None]
    status: Mapped[str]
    num_requests: Mapped[int]
    detail: Mapped[dict[str, Any]]
    created_at: Mapped[float]
    ended_at: Mapped[float | None]


class LLMCall(Base):
    """The usage and cost of one HTTP attempt."""

    __tablename__ = "llm_calls"
    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str]
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


class JobUsage(Base):
    """The caps of an enrich job, its usage so far, and the budget reserved for calls in flight: sums over `llm_calls`.

    `unpriced_calls` counts calls of unknown cost, which `spent_pusd` omits; `repeated_calls` those after the first one
    of a question; `repaired_responses` counts those whose JSON had to be repaired. `plan`: kind of part → the maximum
    number of its units and the number of questions per unit.
    """

    __tablename__ = "spends"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    cap_pusd: Mapped[int | None] = mapped_column(BigInteger)
    cap_tokens: Mapped[int | None] = mapped_column(BigInteger)
    plan: Mapped[dict[str, list[int]]]
    calls: Mapped[int]
    prompt_tokens: Mapped[int] = mapped_column(BigInteger)
    completion_tokens: Mapped[int] = mapped_column(BigInteger)
    spent_pusd: Mapped[int] = mapped_column(BigInteger)
    unpriced_calls: Mapped[int]
    repeated_calls: Mapped[int] = mapped_column(server_default=text("0"))
    repaired_responses: Mapped[int] = mapped_column(server_default=text("0"))
    reserved_pusd: Mapped[int] = mapped_column(BigInteger)
    reserved_tokens: Mapped[int] = mapped_column(BigInteger)


class LLMReservation(Base):
    """What one attempt at a part may still spend on calls that are not recorded yet: money, tokens and calls, each at
    most. The row of an attempt whose worker died stays: its calls may be billed (`store.enrich.usage`)."""

    __tablename__ = "llm_reservations"
    part_id: Mapped[str] = mapped_column(primary_key=True)
    token: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), index=True)
    pusd: Mapped[int] = mapped_column(BigInteger)
    tokens: Mapped[int] = mapped_column(BigInteger)
    calls: Mapped[int]


class AttributeEntry(Base):
    """The lines of one label (`attributes.types.Line`), stored once for all sets that contain this entry."""

    __tablename__ = "attribute_entries"
    digest: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str]
    sense: Mapped[str | None]
    lines: Mapped[list[LineJSON]]
    flags: Mapped[list[str]]


class AttributePage(Base):
    """`PAGE_SIZE` consecutive entry digests (null: the label has no entry), stored once for all sets that contain it.

    `marks`: mark (a flag, an origin, locked, undescribed) → offsets of the entries that have it. `folded`: the texts of
    the lines of each entry, for searches (`store.sets.attribute_sets`).
    """

    __tablename__ = "attribute_pages"
    digest: Mapped[str] = mapped_column(primary_key=True)
    entries: Mapped[list[str | None]]
    marks: Mapped[dict[str, list[int]]]
    num_described: Mapped[int]
    num_flagged: Mapped[int]
    folded: Mapped[str]


class AttributeSet(Owned, Base):
    """An immutable attribute set: the entries of the labels of a vocabulary."""

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
    """The digest of each page of a set, by page number."""

    __tablename__ = "attribute_set_pages"
    set_id: Mapped[str] = mapped_column(primary_key=True)
    page: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(ForeignKey("attribute_pages.digest"))


class AttributeDraft(Base):
    """The draft of a set: edits that will be sealed into a new set. `version` is the ETag for If-Match and only grows:
    dropping or sealing a draft deletes its entries and keeps this row."""

    __tablename__ = "attribute_drafts"
    set_id: Mapped[str] = mapped_column(ForeignKey("attribute_sets.id"), primary_key=True)
    version: Mapped[int]
    created_at: Mapped[float]
    updated_at: Mapped[float]


class AttributeDraftEntry(Base):
    """The lines of one label that the draft changes."""

    __tablename__ = "attribute_draft_entries"
    set_id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    lines: Mapped[list[LineJSON]]
    flags: Mapped[list[str]]


class SetReport(Base):
    """The gate report of a set. `teacher` is empty for a report without a teacher's text features."""

    __tablename__ = "set_reports"
    set_id: Mapped[str] = mapped_column(ForeignKey("attribute_sets.id"), primary_key=True)
    teacher: Mapped[str] = mapped_column(primary_key=True)
    figures: Mapped[dict[str, Any]]
    file_key: Mapped[str]
    created_at: Mapped[float]


class GateFailure(Base):
    """A label of a set that violates a gate."""

    __tablename__ = "gate_failures"
    set_id: Mapped[str] = mapped_column(primary_key=True)
    gate: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)


class EnrichResult(Base):
    """The result of one question of an enrich job, committed when its response arrives.

    `step` is the index of the strategy, `position` that of the label or image, and `slot` numbers several questions
    about one label (samples, confusable labels). `key` refers to the response; it is null if the question failed for
    `reason`. `side` is 1 if this label is the second label of a pair question.
    """

    __tablename__ = "enrich_results"
    job_id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    slot: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str | None] = mapped_column(ForeignKey("llm_answers.key"))
    side: Mapped[int]
    reason: Mapped[str | None]
    detail: Mapped[str | None]


class EnrichPage(Base):
    """A page of the set that an enrich job makes, assembled from its results.

    `inputs` is a digest of all inputs (labels, keys of the responses, kept lines): equal inputs give the same page.
    """

    __tablename__ = "enrich_pages"
    job_id: Mapped[str] = mapped_column(primary_key=True)
    page: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(ForeignKey("attribute_pages.digest"))
    inputs: Mapped[str | None] = mapped_column(index=True)


class RepairRound(Base):
    """The result of a repair round; `inputs` is a digest of all its inputs (see `store.enrich.repair_rounds`)."""

    __tablename__ = "mend_rounds"
    inputs: Mapped[str] = mapped_column(primary_key=True)
    outcome: Mapped[dict[str, Any]]
    file_key: Mapped[str | None]


class CaptionSet(Owned, Base):
    """The captions of the images of a dataset, in a JSON Lines file."""

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
    """The properties of a teacher that code without torch needs; written by a GPU worker that loaded the teacher."""

    __tablename__ = "teachers"
    id: Mapped[str] = mapped_column(primary_key=True)
    ref: Mapped[str] = mapped_column(index=True)
    digest: Mapped[str] = mapped_column(unique=True)
    width: Mapped[int]
    context_length: Mapped[int]
    logit_scale: Mapped[float]
    preprocess: Mapped[dict[str, object]]
    tokenizer_key: Mapped[str]
    created_at: Mapped[float]


class TextTargets(Owned, Base):
    """A teacher's text features (K, D) of the rendered texts of a vocabulary, in a file."""

    __tablename__ = "text_targets"
    id: Mapped[str] = mapped_column(primary_key=True)
    vocabulary_id: Mapped[str] = mapped_column(ForeignKey("vocabularies.id"), index=True)
    attribute_set_id: Mapped[str | None] = mapped_column(ForeignKey("attribute_sets.id"), index=True)
    teacher_id: Mapped[str] = mapped_column(ForeignKey("teachers.id"))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    text: Mapped[str]
    num_labels: Mapped[int]
    width: Mapped[int]
    report: Mapped[dict[str, object]]
    file_key: Mapped[str]
    digest: Mapped[str]
    size: Mapped[int]
    created_at: Mapped[float]


class FeatureChunk(Base):
    """A teacher's features of a range of images, in a file (`distill.image_encoding`).

    `digest` covers the teacher, the view and the contents of the images: whoever needs the same features finds them.
    """

    __tablename__ = "feature_chunks"
    digest: Mapped[str] = mapped_column(primary_key=True)
    file_key: Mapped[str]
    num_rows: Mapped[int]
    size: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[float]
    last_used_at: Mapped[float] = mapped_column(index=True)


class Upload(Owned, Base):
    """Files that a client sends below the upload root, as one stream of `size` bytes (`store.uploads.places`).

    `kind`: `folder` or `archive`. `status`: `receiving` or `complete`. `received`: bytes of the stream that were
    acknowledged. `reserved`: what it counts against the quota. `path`: the folder inside it that holds the images,
    once it is complete. `inputs_digest`: of its name, its kind and the list of its files.
    """

    __tablename__ = "uploads"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[str]
    status: Mapped[str]
    num_files: Mapped[int]
    size: Mapped[int] = mapped_column(BigInteger)
    received: Mapped[int] = mapped_column(BigInteger)
    reserved: Mapped[int] = mapped_column(BigInteger)
    path: Mapped[str]
    inputs_digest: Mapped[str]
    created_at: Mapped[float]
    updated_at: Mapped[float]
    completed_at: Mapped[float | None]
    __table_args__ = (
        Index("ix_uploads_owner_id", "owner", "id"),
        Index("ix_uploads_inputs_digest", "inputs_digest"),
        Index("ix_uploads_status_updated_at", "status", "updated_at"),
    )


class Dataset(Owned, Base):
    """Images under the data root, matched to a vocabulary and split. The image index is an artefact.

    With `upload_id`, `path` is relative to the upload and not to the data root (`store.uploads.places`).

    So are the report of the folder, which `warnings` are a part of, and the contents of the images when they were
    registered (`distill.data.dataset.trained_on`). Datasets of earlier versions have neither; with `check` `names` the
    images were not opened. `inputs_digest` covers everything that a dataset was registered with, and the contents of
    its images if they were opened; an equal dataset is not stored twice. `labels_per_image`: the mean of a multi-label
    dataset; NULL for one label an image.
    """

    __tablename__ = "datasets"
    id: Mapped[str] = mapped_column(primary_key=True)
    upload_id: Mapped[str | None] = mapped_column(ForeignKey("uploads.id"), index=True)
    vocabulary_id: Mapped[str] = mapped_column(ForeignKey("vocabularies.id"), index=True)
    name: Mapped[str]
    path: Mapped[str]
    split: Mapped[dict[str, object]]
    counts: Mapped[dict[str, int]]
    digest: Mapped[str]
    inputs_digest: Mapped[str | None] = mapped_column(index=True, unique=True)
    manifest_key: Mapped[str]
    report_key: Mapped[str | None]
    contents_key: Mapped[str | None]
    warnings: Mapped[list[str]] = mapped_column(server_default=text("'[]'"))
    labels_per_image: Mapped[float | None]
    created_at: Mapped[float]


_UNFINISHED = text("finished_at IS NULL")


class Job(Owned, Base):
    """A job; its state is derived from its parts. `stopping`: null, `cancel`, `failure` or `pause`. `tally`: sums over
    its parts by kind, running parts excluded (see `store.jobs.progress`). `inputs_digest`: of everything that its
    result depends on (`api.jobs.inputs_digest`); jobs of earlier versions have none. `priority` orders queues.
    `trace_parent`: the W3C `traceparent` of the request that created it, if requests are traced."""

    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    status: Mapped[str] = mapped_column(index=True)
    spec: Mapped[dict[str, object]]
    inputs_digest: Mapped[str | None] = mapped_column(index=True)
    result: Mapped[dict[str, object] | None]
    error: Mapped[dict[str, str] | None]
    stopping: Mapped[str | None]
    priority: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    tally: Mapped[list[TallyJSON]]
    num_events: Mapped[int]
    trace_parent: Mapped[str | None]
    created_at: Mapped[float]
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]
    __table_args__ = (
        Index("ix_jobs_owner_id", "owner", "id"),
        Index("ix_jobs_kind_id", "kind", "id"),
        Index("ix_jobs_unfinished_owner", "owner", postgresql_where=_UNFINISHED, sqlite_where=_UNFINISHED),
    )


_RUNNING = text("status = 'running'")
_QUEUED = text("status = 'queued'")


class Part(Base):
    """A part of a job: the unit that workers claim, lease, retry and cancel.

    The parts of a stage may run at the same time; the next stage begins when all of them have ended. `holds_budget`:
    see `store.enrich.usage`. `gauges`: figures of a running part for Prometheus. `queued_at`: when it was queued last.
    `num_gpus`: a worker that has GPUs must have so many (see `store.jobs.claims.fits`).
    `attempts` counts all claims, and `idle_attempts` those in a row without progress, which are limited. `saved_units`:
    steps in the saved training state, or units of an enrichment whose results are stored. `priority`: of its job.
    `rendezvous`: where the other machines of its training find it (`store.lifecycle.nodes`).
    """

    __tablename__ = "parts"
    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str]
    position: Mapped[int]
    kind: Mapped[str]
    queue: Mapped[str]
    status: Mapped[str]
    stage: Mapped[int]
    spec: Mapped[dict[str, object]]
    result: Mapped[dict[str, object] | None]
    error: Mapped[dict[str, str] | None]
    attempts: Mapped[int]
    idle_attempts: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    saved_units: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    priority: Mapped[int] = mapped_column(default=0, server_default=text("0"))
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
    gauges: Mapped[dict[str, float] | None]
    queued_at: Mapped[float | None]
    holds_budget: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    num_gpus: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    rendezvous: Mapped[dict[str, object] | None]
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]
    __table_args__ = (
        # Parts are summed per kind at every state change, and running parts at every poll.
        Index("ix_parts_job_id_kind_position", "job_id", "kind", "position"),
        Index("ix_parts_running", "job_id", "kind", postgresql_where=_RUNNING, sqlite_where=_RUNNING),
        # The place of a job in its queue.
        Index("ix_parts_queued", "queue", "job_id", "not_before", postgresql_where=_QUEUED, sqlite_where=_QUEUED),
        Index(
            "ix_parts_urgency",
            *("queue", "priority", "job_id", "not_before"),
            postgresql_where=_QUEUED,
            sqlite_where=_QUEUED,
        ),
        # Workers and the sweeper look for a few live rows among all parts that ever ran.
        Index("ix_parts_status_queue", "status", "queue", "not_before"),
    )


class Event(Base):
    """An event of a job, numbered per job in commit order."""

    __tablename__ = "events"
    job_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[float]
    level: Mapped[str]
    type: Mapped[str]
    message: Mapped[str]
    data: Mapped[dict[str, object]]


_EMPTY = text("'{}'")
_OF_ONE_LABEL = ("accuracy", "intervals", "harmonic_mean", "harmonic_intervals", "num_labels", "num_images", "chance")
_OF_SEVERAL_LABELS = ("mean_ap", "id_mean_ap", "ood_mean_ap", "intervals", "num_labels", "num_images", "chance")


def headline_of(evaluation: Mapping[str, object]) -> dict[str, object]:
    """The few figures of each part of an evaluation that do not grow with the number of labels."""
    several = evaluation.get("multi_label")
    found: dict[str, object] = dict(_few(evaluation, _OF_ONE_LABEL))
    return found | ({"multi_label": _few(several, _OF_SEVERAL_LABELS)} if isinstance(several, Mapping) else {})


def _few(parts: Mapping[str, object], names: Sequence[str]) -> dict[str, dict[str, object]]:
    return {
        part: {name: figures[name] for name in names if name in figures}
        for part, figures in parts.items()
        if isinstance(figures, Mapping)
    }


class Checkpoint(Owned, Base):
    """The bundle of a trained student. `samples_key`: some images of each label with what it took them for
    (`distill.evaluation.samples`). `headline`: always that of `evaluation`, for lists, which would else read megabytes
    per row."""

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
    evaluation: Mapped[dict[str, object]]
    headline: Mapped[dict[str, object]] = mapped_column(server_default=_EMPTY)
    digest: Mapped[str]
    samples_key: Mapped[str | None]
    created_at: Mapped[float]

    @validates("evaluation")
    def _keep_headline(self, _name: str, evaluation: dict[str, object]) -> dict[str, object]:
        self.headline = headline_of(evaluation)
        return evaluation


class CheckpointFile(Base):
    """A file of a bundle, which consists of its `BlobPiece` rows. `file_key`: its artefact, of an earlier release."""

    __tablename__ = "checkpoint_files"
    checkpoint_id: Mapped[str] = mapped_column(ForeignKey("checkpoints.id"), primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    file_key: Mapped[str | None]


class Blob(Base):
    """A run of bytes that is stored once for all bundles that contain it (`store.blobs.writing`).

    `ends`: where the stored form of each block ends in the file; the last one is the size of the file.
    """

    __tablename__ = "blobs"
    sha256: Mapped[str] = mapped_column(primary_key=True)
    file_key: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    ends: Mapped[list[int]]
    created_at: Mapped[float]


class BlobPiece(Base):
    """A piece of a file of a bundle: bytes `start` to `start + size` of a blob."""

    __tablename__ = "blob_pieces"
    checkpoint_id: Mapped[str] = mapped_column(primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    start: Mapped[int] = mapped_column(BigInteger)
    size: Mapped[int] = mapped_column(BigInteger)
    __table_args__ = (
        ForeignKeyConstraint(["checkpoint_id", "path"], ["checkpoint_files.checkpoint_id", "checkpoint_files.path"]),
    )


class EpochCheckpoint(Base):
    """A student after an epoch of a training. `metrics`: on held-out images of ID labels, null without such images."""

    __tablename__ = "epoch_checkpoints"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    step: Mapped[int]
    metrics: Mapped[dict[str, float] | None]
    created_at: Mapped[float]


class EpochFile(Base):
    """A file of an `EpochCheckpoint`. Checkpoints of a job share the artefacts of files that are equal."""

    __tablename__ = "epoch_files"
    job_id: Mapped[str] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    path: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    file_key: Mapped[str] = mapped_column(index=True)
    __table_args__ = (
        ForeignKeyConstraint(["job_id", "epoch"], ["epoch_checkpoints.job_id", "epoch_checkpoints.epoch"]),
    )


class Removal(Base):
    """A deleted resource whose rows in large tables are still to be purged (`store.removal.purge`)."""

    __tablename__ = "removals"
    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    created_at: Mapped[float]


class UnlistedEntry(Base):
    """An attribute entry of a deleted page, which other pages may contain (`store.upkeep.unused_pages`)."""

    __tablename__ = "unlisted_entries"
    digest: Mapped[str] = mapped_column(primary_key=True)


class UpkeepTurn(Base):
    """A turn of one process to do something that two must not do at a time (`store.upkeep.turns`)."""

    __tablename__ = "upkeep_turns"
    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    expires_at: Mapped[float]


class Heartbeat(Base):
    """The last heartbeat of each long-lived process, for the readiness check. `num_gpus`: that a GPU worker may use."""

    __tablename__ = "beats"
    name: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str]
    at: Mapped[float]
    num_gpus: Mapped[int] = mapped_column(default=0, server_default=text("0"))


class CounterTotal(Base):
    """The running total of a series of a counter; it never falls. `labels`: a JSON list of the values of its labels."""

    __tablename__ = "counters"
    name: Mapped[str] = mapped_column(primary_key=True)
    labels: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[float]


class CounterIncrement(Base):
    """An increment that is not in its `CounterTotal` yet (see `store.jobs.counters`)."""

    __tablename__ = "counter_increments"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    labels: Mapped[str]
    value: Mapped[float]
