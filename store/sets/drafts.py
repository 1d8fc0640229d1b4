"""Drafts: edits of an attribute set are collected per label and sealed into a new set.

A set has one draft. Each change names the version that it starts from and creates the next version by compare-and-set.
If two people start from the same version, the second change fails with `DraftStale` and no edit is lost. Versions only
grow: dropping or sealing a draft empties it but does not reset its version, so a client with an old copy cannot
overwrite later edits.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from store import vocabularies
from store.errors import Conflict, DraftStale
from store.json_types import LineJSON
from store.models import AttributeDraft, AttributeDraftEntry, AttributeSet
from store.removal.holds import hold
from store.sets import attribute_sets
from store.sets.attribute_sets import EntryContent
from store.unique_rows import insert_ignore

_BATCH = 1_000
_INHERITED = ("strategy", "model", "domain", "label2text")


class LabelContent(TypedDict):
    """The lines and flags of one label in a draft."""

    lines: list[LineJSON]
    flags: list[str]


@dataclass(frozen=True)
class Draft:
    """The state of the draft of a set. `version` is 0 if the set was never edited."""

    set_id: str
    version: int
    num_edited: int
    updated_at: float | None


def get(tx: Session, set_id: str) -> Draft:
    """The draft of an existing set."""
    row = tx.get(AttributeDraft, set_id, populate_existing=True)
    query = select(func.count()).select_from(AttributeDraftEntry).where(AttributeDraftEntry.set_id == set_id)
    num_edited = tx.scalar(query) or 0
    return Draft(set_id, row.version if row else 0, num_edited, row.updated_at if row else None)


def advance(tx: Session, set_id: str, expected: int | None) -> int:
    """Move the draft from the `expected` version (None: from any version) to the next and return the new version.

    The transaction holds the draft exclusively from here on. Raises `DraftStale`, and NotFound if the set is deleted.
    """
    hold(tx, "attribute_set", set_id)
    now = time.time()
    insert_ignore(tx, AttributeDraft, [{"set_id": set_id, "version": 0, "created_at": now, "updated_at": now}])
    statement = update(AttributeDraft).where(AttributeDraft.set_id == set_id)
    if expected is not None:
        statement = statement.where(AttributeDraft.version == expected)
    version = tx.scalar(
        statement.values(version=AttributeDraft.version + 1, updated_at=now)
        .returning(AttributeDraft.version)
        .execution_options(synchronize_session=False)
    )
    if version is None:
        raise DraftStale(get(tx, set_id).version, expected or 0)
    return version


def edited(tx: Session, set_id: str, positions: Sequence[int]) -> dict[int, AttributeDraftEntry]:
    """Position → draft entry, for the positions that the draft changes."""
    found: dict[int, AttributeDraftEntry] = {}
    for start in range(0, len(positions), _BATCH):
        query = select(AttributeDraftEntry).where(
            AttributeDraftEntry.set_id == set_id,
            AttributeDraftEntry.position.in_(positions[start : start + _BATCH]),
        )
        found.update((row.position, row) for row in tx.scalars(query))
    return found


def page(tx: Session, set_id: str, *, start: int, limit: int) -> tuple[list[AttributeDraftEntry], bool]:
    """Up to `limit` changed labels from position `start` on; and whether there are more."""
    query = (
        select(AttributeDraftEntry)
        .where(AttributeDraftEntry.set_id == set_id, AttributeDraftEntry.position >= start)
        .order_by(AttributeDraftEntry.position)
        .limit(limit + 1)
    )
    rows = list(tx.scalars(query))
    return rows[:limit], len(rows) > limit


def put(tx: Session, set_id: str, changed: Mapping[int, LabelContent | None]) -> None:
    """Store the edited content of these labels. None removes an edit, so that the label is as in the set again."""
    positions = list(changed)
    for start in range(0, len(positions), _BATCH):
        tx.execute(
            delete(AttributeDraftEntry).where(
                AttributeDraftEntry.set_id == set_id,
                AttributeDraftEntry.position.in_(positions[start : start + _BATCH]),
            )
        )
    rows = [
        {"set_id": set_id, "position": position, **content}
        for position, content in changed.items()
        if content is not None
    ]
    insert_ignore(tx, AttributeDraftEntry, rows)


def drop(tx: Session, set_id: str) -> None:
    """Empty the draft."""
    tx.execute(delete(AttributeDraftEntry).where(AttributeDraftEntry.set_id == set_id))


def seal(tx: Session, parent: AttributeSet, *, expected: int | None, edited_by: str) -> AttributeSet:
    """Create a new set from the draft, owned by `edited_by`, and empty the draft.

    Raises `DraftStale`, or `Conflict` if the draft is empty.
    """
    version = advance(tx, parent.id, expected)
    query = select(AttributeDraftEntry).where(AttributeDraftEntry.set_id == parent.id)
    rows = list(tx.scalars(query.order_by(AttributeDraftEntry.position)))
    if not rows:
        raise Conflict("draft_empty", f"the draft of {parent.id} changes nothing: edit it first")
    labels = {
        label.position: label
        for start in range(0, len(rows), _BATCH)
        for label in vocabularies.labels_at(
            tx, parent.vocabulary_id, [row.position for row in rows[start : start + _BATCH]]
        )
    }
    changed = {
        row.position: EntryContent(
            label=labels[row.position].name, sense=labels[row.position].sense, lines=row.lines, flags=row.flags
        )
        if row.lines
        else None
        for row in rows
    }
    source = {name: parent.source[name] for name in _INHERITED if parent.source.get(name) is not None}
    source |= {"edit_of": parent.id, "draft_version": version - 1, "num_edited": len(rows), "edited_by": edited_by}
    sealed = attribute_sets.derive(tx, parent, changed, source=source, owner=edited_by)
    drop(tx, parent.id)
    return sealed
