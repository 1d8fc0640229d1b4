"""Holds on resources: a transaction that stores the id of one keeps it from being deleted until it ends.

A foreign key does this by itself. The spec of a job holds ids without a foreign key. `ORDER` is the order in which
every transaction locks rows of several kinds, by id within a kind, so that no two wait for each other; it goes from
what is referred to, to what refers to it.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from store.errors import NotFound
from store.models import AttributeSet, CaptionSet, Checkpoint, Dataset, Job, TextTargets, Upload, Vocabulary

Kind = Literal["job", "upload", "vocabulary", "attribute_set", "dataset", "text_targets", "caption_set", "checkpoint"]
Resource = Job | Upload | Vocabulary | AttributeSet | Dataset | TextTargets | CaptionSet | Checkpoint

MODELS: Mapping[Kind, type[Resource]] = {
    "job": Job,
    "upload": Upload,
    "vocabulary": Vocabulary,
    "attribute_set": AttributeSet,
    "dataset": Dataset,
    "text_targets": TextTargets,
    "caption_set": CaptionSet,
    "checkpoint": Checkpoint,
}
ORDER: tuple[Kind, ...] = tuple(MODELS)
_PREFIXES: Mapping[str, Kind] = {
    "job": "job",
    "upl": "upload",
    "voc": "vocabulary",
    "ats": "attribute_set",
    "dst": "dataset",
    "txt": "text_targets",
    "cap": "caption_set",
    "ckp": "checkpoint",
}


def name_of(kind: Kind) -> str:
    """The kind as messages write it: `attribute set`."""
    return kind.replace("_", " ")


def hold_named(tx: Session, spec: Mapping[str, object]) -> None:
    """Hold the resources that the fields `*_id` and `*_ids` of a stored spec name, at any depth.

    Raises NotFound for one that is deleted.
    """
    found = {(_PREFIXES[prefix], id) for id in _ids(spec) if (prefix := id.partition("_")[0]) in _PREFIXES}
    for kind, id in sorted(found, key=lambda one: (ORDER.index(one[0]), one[1])):
        hold(tx, kind, id)


def hold(tx: Session, kind: Kind, id: str) -> None:
    """Hold one resource. Raises NotFound if it has been deleted. On SQLite, which has one writer at a time, it only
    looks for the row."""
    model = MODELS[kind]
    if tx.scalar(select(model.id).where(model.id == id).with_for_update(read=True, key_share=True)) is None:
        raise NotFound(name_of(kind), id)


def _ids(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            if isinstance(item, str):
                yield from [item] if str(name).endswith("_id") else []
            elif str(name).endswith("_ids") and isinstance(item, list):
                yield from (one for one in item if isinstance(one, str))
            else:
                yield from _ids(item)
