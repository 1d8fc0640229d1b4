"""The tables. Times are seconds since 1970 (UTC) as doubles; digests are sha256 in hex; `*_key` is an artefact's key.

Rows of jobs and parts change under rules that stand in `store.jobs` alone; all else is written once.
"""

from typing import Any

from sqlalchemy import JSON, Double, ForeignKey, Index, MetaData, Text
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


class LLMAnswer(Base):
    """A validated answer under the key of everything that shaped it; never a failure."""

    __tablename__ = "llm_answers"
    key: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str]
    base_url: Mapped[str]
    strategy: Mapped[str]
    messages: Mapped[list[Any]]
    answer: Mapped[str]
    entry: Mapped[str] = mapped_column(ForeignKey("attribute_entries.digest"))
    created_at: Mapped[float]


class LLMCall(Base):
    """One HTTP attempt: the ledger."""

    __tablename__ = "llm_calls"
    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), index=True)
    position: Mapped[int]
    key: Mapped[str]
    model: Mapped[str]
    attempt: Mapped[int]
    status: Mapped[str]
    http_status: Mapped[int | None]
    prompt_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]
    latency_s: Mapped[float]
    created_at: Mapped[float]


class AttributeEntry(Base):
    """What is said of one label, stored once for all sets that say it."""

    __tablename__ = "attribute_entries"
    digest: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str]
    sense: Mapped[str | None]
    sentence: Mapped[str]
    phrases: Mapped[list[Any]]
    origin: Mapped[str]
    flags: Mapped[list[Any]]
    provenance: Mapped[dict[str, Any]]


class AttributePage(Base):
    """A run of `PAGE_SIZE` entries' digests (null: none for that label), stored once for all sets that hold it."""

    __tablename__ = "attribute_pages"
    digest: Mapped[str] = mapped_column(primary_key=True)
    entries: Mapped[list[Any]]


class AttributeSet(Base):
    """An immutable set: a vocabulary's labels with their entries."""

    __tablename__ = "attribute_sets"
    id: Mapped[str] = mapped_column(primary_key=True)
    vocabulary_id: Mapped[str] = mapped_column(ForeignKey("vocabularies.id"), index=True)
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("attribute_sets.id"))
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


class EnrichResult(Base):
    """How one label of an enrich job ended; committed as the answer arrives."""

    __tablename__ = "enrich_results"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    entry: Mapped[str | None] = mapped_column(ForeignKey("attribute_entries.digest"))
    reason: Mapped[str | None]
    detail: Mapped[str | None]


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
    attribute_set_id: Mapped[str | None] = mapped_column(ForeignKey("attribute_sets.id"))
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
    """A request for work; its state is derived from its parts. `stopping`: null, `cancel` or `failure`."""

    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    status: Mapped[str] = mapped_column(index=True)
    spec: Mapped[dict[str, Any]]
    result: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    stopping: Mapped[str | None]
    num_events: Mapped[int]
    created_at: Mapped[float]
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]


class Part(Base):
    """A piece of a job: what is claimed, leased, retried and cancelled."""

    __tablename__ = "parts"
    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    position: Mapped[int]
    kind: Mapped[str]
    queue: Mapped[str]
    status: Mapped[str]
    waits_for: Mapped[str | None]
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
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]
    __table_args__ = (
        # Progress is summed per kind at every poll.
        Index("ix_parts_job_id_kind_position", "job_id", "kind", "position"),
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
    attribute_set_id: Mapped[str | None] = mapped_column(ForeignKey("attribute_sets.id"))
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
