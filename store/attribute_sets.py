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

from sqlalchemy import insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from store import vocabularies
from store.errors import NotFound
from store.ids import new_id
from store.models import AttributeEntry, AttributePage, AttributeSet, AttributeSetPage

PAGE_SIZE = 256
_BATCH = 1_000
_PAGES_AT_ONCE = 50


class EntryContent(TypedDict):
    """What an entry says: its lines, each with where it comes from."""

    label: str
    sense: str | None
    lines: list[Any]
    flags: list[str]


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


def put_pages(tx: Session, entries: Sequence[EntryContent | None]) -> list[str]:
    """Keep the entries of labels that follow each other from a page's first on, and their pages; the pages' digests."""
    digests = iter(put_entries(tx, [entry for entry in entries if entry]))
    kept = [(next(digests), bool(entry["flags"])) if entry else (None, False) for entry in entries]
    return put_page_rows(tx, [kept[start : start + PAGE_SIZE] for start in range(0, len(kept), PAGE_SIZE)])


def put_page_rows(tx: Session, pages: Sequence[Sequence[tuple[str | None, bool]]]) -> list[str]:
    """Keep pages of (digest of a kept entry or None, whether it is flagged); their digests in the same order."""
    rows = [
        {
            "digest": _digest([digest for digest, _ in page]), "entries": [digest for digest, _ in page],
            "num_described": sum(digest is not None for digest, _ in page),
            "num_flagged": sum(flagged for _, flagged in page),
        }
        for page in pages
    ]  # fmt: skip
    insert_ignore(tx, AttributePage, sorted(rows, key=lambda row: str(row["digest"])))
    return [str(row["digest"]) for row in rows]


def create(
    tx: Session, *, vocabulary_id: str, pages: Sequence[str], source: Mapping[str, Any], parent_id: str | None = None
) -> AttributeSet:
    """Seal a set from the digests of its pages, all of which are kept already."""
    vocabulary = vocabularies.get(tx, vocabulary_id)
    if len(pages) != -(-vocabulary.num_labels // PAGE_SIZE):
        raise ValueError(f"{len(pages)} pages for {vocabulary.num_labels} labels")
    counts: dict[str, tuple[int, int]] = {}
    for start in range(0, len(pages), _BATCH):
        query = select(AttributePage.digest, AttributePage.num_described, AttributePage.num_flagged)
        rows = tx.execute(query.where(AttributePage.digest.in_(pages[start : start + _BATCH])))
        counts.update((digest, (described, flagged)) for digest, described, flagged in rows)
    made = AttributeSet(
        id=new_id("ats"), vocabulary_id=vocabulary_id, parent_id=parent_id,
        digest=_digest([vocabulary.digest, list(pages)]), num_labels=vocabulary.num_labels,
        num_described=sum(counts[page][0] for page in pages), num_flagged=sum(counts[page][1] for page in pages),
        source=dict(source), created_at=time.time(),
    )  # fmt: skip
    tx.add(made)
    tx.flush()
    tx.execute(
        insert(AttributeSetPage),
        [{"set_id": made.id, "page": number, "digest": digest} for number, digest in enumerate(pages)],
    )
    return made


def described(tx: Session, pages: Sequence[str]) -> set[int]:
    """The positions at which these pages, in order, have an entry."""
    found: set[int] = set()
    for start in range(0, len(pages), _PAGES_AT_ONCE):
        wanted = pages[start : start + _PAGES_AT_ONCE]
        query = select(AttributePage.digest, AttributePage.entries).where(AttributePage.digest.in_(wanted))
        held = {digest: entries for digest, entries in tx.execute(query)}
        for number, digest in enumerate(wanted, start):
            found.update(at for at, entry in enumerate(held[digest], number * PAGE_SIZE) if entry)
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
    by_digest = _by_digest(tx, digests)
    return [by_digest[digest] if digest else None for digest in digests]


def entries_at(tx: Session, set_id: str, positions: Sequence[int]) -> dict[int, AttributeEntry]:
    """The entries at these positions, without those of labels that have none; reads the pages that they are on."""
    digests: dict[int, str] = {}
    numbers = sorted({position // PAGE_SIZE for position in positions})
    wanted = set(positions)
    for first in range(0, len(numbers), _PAGES_AT_ONCE):
        query = (
            select(AttributeSetPage.page, AttributePage.entries)
            .join(AttributePage, AttributePage.digest == AttributeSetPage.digest)
            .where(AttributeSetPage.set_id == set_id)
            .where(AttributeSetPage.page.in_(numbers[first : first + _PAGES_AT_ONCE]))
        )
        for page, held in tx.execute(query):
            start = page * PAGE_SIZE
            digests.update((at, one) for at, one in enumerate(held, start) if one and at in wanted)
    by_digest = _by_digest(tx, digests.values())
    return {position: by_digest[digest] for position, digest in digests.items()}


def _by_digest(tx: Session, digests: Iterable[str | None]) -> dict[str, AttributeEntry]:
    wanted = sorted({digest for digest in digests if digest})
    found: dict[str, AttributeEntry] = {}
    for first in range(0, len(wanted), _BATCH):
        rows = tx.scalars(select(AttributeEntry).where(AttributeEntry.digest.in_(wanted[first : first + _BATCH])))
        found.update((row.digest, row) for row in rows)
    return found
