"""Attribute sets: immutable, and shared by content.

An entry (what is said of one label) is stored once under its digest. A set is a row of pages, each a run of
`PAGE_SIZE` digests, stored once under its own digest too: a set that differs from its parent in one phrase costs one
entry, one page and a few hundred short rows for 100,000 labels, and any page of it is read by its number.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from store import vocabularies
from store.errors import NotFound
from store.ids import new_id
from store.models import AttributeEntry, AttributePage, AttributeSet, AttributeSetPage

PAGE_SIZE = 256
_BATCH = 1_000


class EntryContent(TypedDict):
    """What an entry says, and where it comes from (`provenance`: answer key, import file, or person)."""

    label: str
    sense: str | None
    sentence: str
    phrases: list[Any]
    origin: str
    flags: list[str]
    provenance: dict[str, Any]


def _digest(content: Any) -> str:
    return hashlib.sha256(
        json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    ).hexdigest()


def insert_ignore(tx: Session, model: type[Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows whose primary key is a digest: one that is there already is the same row."""
    dialect = sqlite if tx.get_bind().dialect.name == "sqlite" else postgresql
    for start in range(0, len(rows), _BATCH):
        tx.execute(dialect.insert(model).on_conflict_do_nothing(), [dict(row) for row in rows[start : start + _BATCH]])


def put_entries(tx: Session, entries: Iterable[EntryContent]) -> list[str]:
    """Keep the entries; their digests in the same order."""
    rows: list[dict[str, Any]] = [{"digest": _digest(entry), **entry} for entry in entries]
    # In one order in every transaction: two that keep the same entries at once wait, and do not lock each other out.
    insert_ignore(tx, AttributeEntry, sorted(rows, key=lambda row: row["digest"]))
    return [row["digest"] for row in rows]


def create(
    tx: Session, *, vocabulary_id: str, entries: Sequence[str | None], source: Mapping[str, Any],
    parent_id: str | None = None,
) -> AttributeSet:  # fmt: skip
    """Seal a set: for each label of the vocabulary the digest of a kept entry, or None."""
    vocabulary = vocabularies.get(tx, vocabulary_id)
    if len(entries) != vocabulary.num_labels:
        raise ValueError(f"{len(entries)} entries for {vocabulary.num_labels} labels")
    pages = [list(entries[start : start + PAGE_SIZE]) for start in range(0, len(entries), PAGE_SIZE)]
    digests = [_digest(page) for page in pages]
    insert_ignore(
        tx,
        AttributePage,
        sorted(
            ({"digest": digest, "entries": page} for digest, page in zip(digests, pages, strict=True)),
            key=lambda row: str(row["digest"]),
        ),
    )
    flagged = _flagged(tx, [entry for entry in entries if entry])
    made = AttributeSet(
        id=new_id("ats"), vocabulary_id=vocabulary_id, parent_id=parent_id,
        digest=_digest([vocabulary.digest, digests]),
        num_labels=len(entries), num_described=sum(entry is not None for entry in entries),
        num_flagged=sum(entry in flagged for entry in entries), source=dict(source), created_at=time.time(),
    )  # fmt: skip
    tx.add(made)
    tx.flush()
    tx.add_all(AttributeSetPage(set_id=made.id, page=n, digest=digest) for n, digest in enumerate(digests))
    tx.flush()
    return made


def _flagged(tx: Session, digests: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(digests), _BATCH):
        query = select(AttributeEntry.digest, AttributeEntry.flags)
        rows = tx.execute(query.where(AttributeEntry.digest.in_(digests[start : start + _BATCH])))
        found.update(digest for digest, flags in rows if flags)
    return found


def get(tx: Session, set_id: str) -> AttributeSet:
    """The set, or `NotFound`."""
    found = tx.get(AttributeSet, set_id)
    if found is None:
        raise NotFound("attribute set", set_id)
    return found


def entries(tx: Session, set_id: str, *, start: int = 0, stop: int | None = None) -> list[AttributeEntry | None]:
    """The entries at positions start ≤ p < stop, None where a label has none."""
    query = (
        select(AttributePage.entries)
        .join(AttributeSetPage, AttributeSetPage.digest == AttributePage.digest)
        .where(AttributeSetPage.set_id == set_id, AttributeSetPage.page >= start // PAGE_SIZE)
        .order_by(AttributeSetPage.page)
    )
    if stop is not None:
        query = query.where(AttributeSetPage.page <= (stop - 1) // PAGE_SIZE)
    digests: list[str | None] = [digest for page in tx.scalars(query) for digest in page]
    offset = start % PAGE_SIZE
    digests = digests[offset : None if stop is None else offset + stop - start]
    wanted = sorted({digest for digest in digests if digest})
    by_digest: dict[str, AttributeEntry] = {}
    for first in range(0, len(wanted), _BATCH):
        rows = tx.scalars(select(AttributeEntry).where(AttributeEntry.digest.in_(wanted[first : first + _BATCH])))
        by_digest.update((row.digest, row) for row in rows)
    return [by_digest[digest] if digest else None for digest in digests]
