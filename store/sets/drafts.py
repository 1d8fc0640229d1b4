"""Drafts: edits of an attribute set collect label by label, and are sealed into a new set.

A set has one draft. Each change names the version that it starts from and makes the next one; the row of the version is
changed by compare-and-set, so that of two people who start from the same version one is told so, and nothing is lost.
Versions only grow: a draft that was dropped or sealed is empty, not young again, and whoever still holds what was in it
cannot write over what came after.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from store import vocabularies
from store.errors import Conflict, DraftStale
from store.models import AttributeDraft, AttributeDraftEntry, AttributeSet
from store.sets import attribute_sets
from store.sets.attribute_sets import EntryContent, insert_ignore

_BATCH = 1_000
_INHERITED = ("strategy", "model", "domain", "label2text")


class LabelContent(TypedDict):
    """What a draft has of a label."""

    lines: list[dict[str, Any]]
    flags: list[str]


@dataclass(frozen=True)
class Draft:
    """How far a set's draft is; `version` 0 is one that nobody touched."""

    set_id: str
    version: int
    num_edited: int
    updated_at: float | None


def get(tx: Session, set_id: str) -> Draft:
    """The draft of a set that is there."""
    row = tx.get(AttributeDraft, set_id, populate_existing=True)
    query = select(func.count()).select_from(AttributeDraftEntry).where(AttributeDraftEntry.set_id == set_id)
    num_edited = tx.scalar(query) or 0
    return Draft(set_id, row.version if row else 0, num_edited, row.updated_at if row else None)


def advance(tx: Session, set_id: str, expected: int | None) -> int:
    """Take the draft from the `expected` version (None: whatever it is at) to the next, which is answered.

    It is this transaction's alone from here on. Raises `DraftStale`.
    """
    now = time.time()
    insert_ignore(tx, AttributeDraft, [{"set_id": set_id, "version": 0, "created_at": now, "updated_at": now}])
    statement = update(AttributeDraft).where(AttributeDraft.set_id == set_id)
    if expected is not None:
        statement = statement.where(AttributeDraft.version == expected)
    made = tx.scalar(
        statement.values(version=AttributeDraft.version + 1, updated_at=now)
        .returning(AttributeDraft.version)
        .execution_options(synchronize_session=False)
    )
    if made is None:
        raise DraftStale(get(tx, set_id).version, expected or 0)
    return made


def edited(tx: Session, set_id: str, positions: Sequence[int]) -> dict[int, AttributeDraftEntry]:
    """What the draft has of those of the positions that it changes."""
    found: dict[int, AttributeDraftEntry] = {}
    for start in range(0, len(positions), _BATCH):
        query = select(AttributeDraftEntry).where(
            AttributeDraftEntry.set_id == set_id,
            AttributeDraftEntry.position.in_(positions[start : start + _BATCH]),
        )
        found.update((row.position, row) for row in tx.scalars(query))
    return found


def page(tx: Session, set_id: str, *, start: int, limit: int) -> tuple[list[AttributeDraftEntry], bool]:
    """Up to `limit` labels that the draft changes, from position `start` on; and whether there are more."""
    query = (
        select(AttributeDraftEntry)
        .where(AttributeDraftEntry.set_id == set_id, AttributeDraftEntry.position >= start)
        .order_by(AttributeDraftEntry.position)
        .limit(limit + 1)
    )
    rows = list(tx.scalars(query))
    return rows[:limit], len(rows) > limit


def put(tx: Session, set_id: str, changed: Mapping[int, LabelContent | None]) -> None:
    """Keep what the draft now has of these labels; None for one that is again as the set has it."""
    positions = list(changed)
    for start in range(0, len(positions), _BATCH):
        tx.execute(
            delete(AttributeDraftEntry).where(
                AttributeDraftEntry.set_id == set_id,
                AttributeDraftEntry.position.in_(positions[start : start + _BATCH]),
            )
        )
    rows = [{"set_id": set_id, "position": at, **said} for at, said in changed.items() if said is not None]
    insert_ignore(tx, AttributeDraftEntry, rows)


def drop(tx: Session, set_id: str) -> None:
    """Empty the draft."""
    tx.execute(delete(AttributeDraftEntry).where(AttributeDraftEntry.set_id == set_id))


def seal(tx: Session, parent: AttributeSet, *, expected: int | None, edited_by: str) -> AttributeSet:
    """Make the draft a new set, and empty it. Raises `DraftStale`, and `Conflict` where it changes nothing."""
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
    made = attribute_sets.derive(tx, parent, changed, source=source)
    drop(tx, parent.id)
    return made
