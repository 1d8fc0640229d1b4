"""Attribute sets, their drafts and the enrichment that makes them; sets of captions."""

from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from store.json_types import LineJSON
from store.models.base import Base, Owned


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
