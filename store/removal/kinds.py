"""What refers to each kind of resource, and the large tables that belong to it.

`PURGED` lists the tables of a resource that can be large. They have no foreign key to it: a
deletion ends when the row of the resource is gone, and their rows are deleted afterwards, some thousands at a time
(docs/decisions/0029-deletion.md).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, cast, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.types import Text

from store.jobs.jobs import ENDED
from store.models import (
    AttributeDraftEntry,
    AttributeSet,
    AttributeSetPage,
    Base,
    CaptionSet,
    Checkpoint,
    Dataset,
    EnrichPage,
    EnrichResult,
    Event,
    GateFailure,
    Job,
    Label,
    LLMBatch,
    LLMCall,
    Part,
    TextTargets,
)
from store.removal.holds import MODELS, Kind

USERS: Mapping[Kind, Sequence[tuple[Kind, ColumnElement[Any] | InstrumentedAttribute[Any]]]] = {
    "job": (
        ("attribute_set", AttributeSet.source["job_id"].as_string()),
        ("text_targets", TextTargets.job_id),
        ("caption_set", CaptionSet.job_id),
        ("checkpoint", Checkpoint.job_id),
    ),
    "vocabulary": (
        ("attribute_set", AttributeSet.vocabulary_id),
        ("dataset", Dataset.vocabulary_id),
        ("text_targets", TextTargets.vocabulary_id),
        ("checkpoint", Checkpoint.vocabulary_id),
    ),
    "attribute_set": (
        ("attribute_set", AttributeSet.parent_id),
        ("text_targets", TextTargets.attribute_set_id),
        ("checkpoint", Checkpoint.attribute_set_id),
    ),
    "upload": (("dataset", Dataset.upload_id),),
    "dataset": (("caption_set", CaptionSet.dataset_id), ("checkpoint", Checkpoint.dataset_id)),
    "text_targets": (("checkpoint", Checkpoint.text_targets_id),),
    "caption_set": (),
    "checkpoint": (),
}
"""Kind → the kinds of resources that refer to it, with the column that holds its id."""

PURGED: Mapping[Kind, Sequence[tuple[type[Base], InstrumentedAttribute[str]]]] = {
    "vocabulary": ((Label, Label.vocabulary_id),),
    "attribute_set": (
        (AttributeSetPage, AttributeSetPage.set_id),
        (AttributeDraftEntry, AttributeDraftEntry.set_id),
        (GateFailure, GateFailure.set_id),
    ),
    "job": (
        (Event, Event.job_id),
        (EnrichResult, EnrichResult.job_id),
        (EnrichPage, EnrichPage.job_id),
        (LLMCall, LLMCall.job_id),
        (LLMBatch, LLMBatch.job_id),
        (Part, Part.job_id),
    ),
}


def live_users(tx: Session, kind: Kind, id: str) -> list[str]:
    """The ids of the jobs that have not ended and name the resource in their spec, or are making it, oldest first."""
    if kind == "job":
        return list(tx.scalars(select(Job.id).where(Job.id == id, Job.status.not_in(ENDED))))
    position_of = func.strpos if tx.get_bind().dialect.name == "postgresql" else func.instr
    live = select(Job.id).where(Job.status.not_in(ENDED))
    found = set(tx.scalars(live.where(position_of(cast(Job.spec, Text), id) > 0)))
    model = MODELS[kind]
    if issubclass(model, TextTargets | CaptionSet | Checkpoint):
        found.update(tx.scalars(live.join(model, model.job_id == Job.id).where(model.id == id)))
    return sorted(found)
