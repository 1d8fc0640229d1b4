"""Attribute sets: immutable, and shared by content.

An entry (what is said of one label) is stored once under its digest. A set is a row of pages, each a run of
`PAGE_SIZE` digests, stored once under its own digest too: a set that differs from its parent in one phrase costs one
entry, one page and a few hundred short rows for 100,000 labels, and any page of it is read by its number.

A page also has *marks*: which of its entries have a flag, a line of some origin, a locked line, or are none at all.
They are what labels are filtered by without reading an entry.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypedDict

from sqlalchemy import Row, Select, insert, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from store import vocabularies
from store.errors import NotFound
from store.ids import new_id
from store.models import AttributeEntry, AttributePage, AttributeSet, AttributeSetPage, Vocabulary

PAGE_SIZE = 256
_BATCH = 1_000
_PAGES_AT_ONCE = 50

LOCKED, UNDESCRIBED = "locked", "undescribed"
_FLAG, _ORIGIN = "flag:", "origin:"


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
    tx.flush()
    # Past the session: the insert has nothing for it to keep, and would cost twice as much through it.
    connection = tx.connection()
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(model.__table__).on_conflict_do_nothing()
    for start in range(0, len(rows), _BATCH):
        connection.execute(statement, [dict(row) for row in rows[start : start + _BATCH]])


def put_entries(tx: Session, entries: Iterable[EntryContent]) -> list[str]:
    """Keep the entries; their digests in the same order."""
    rows = [_entry_row(entry) for entry in entries]
    _insert_entries(tx, rows)
    return [row["digest"] for row in rows]


def _entry_row(entry: EntryContent) -> dict[str, Any]:
    return {"digest": _digest(entry), **entry}


def _insert_entries(tx: Session, rows: Iterable[dict[str, Any]]) -> None:
    # In one order in every transaction: two that keep the same entries at once wait, and do not lock each other out.
    insert_ignore(tx, AttributeEntry, sorted(rows, key=lambda row: str(row["digest"])))


def flag_mark(flag: str) -> str:
    """The mark of entries that have this flag."""
    return _FLAG + flag


def origin_mark(origin: str) -> str:
    """The mark of entries that have a line of this origin."""
    return _ORIGIN + origin


def marks_of(lines: Iterable[Mapping[str, Any]], flags: Iterable[str]) -> frozenset[str]:
    """The marks that an entry of these lines and flags bears on its page."""
    said = list(lines)
    origins = {origin_mark(line["origin"]) for line in said}
    locked = {LOCKED} if any(line.get("locked") for line in said) else set()
    return frozenset(origins | locked | {flag_mark(flag) for flag in flags})


Slot = tuple[str | None, frozenset[str]]
"""A place on a page: the digest of the entry that is kept there, or None; and its marks."""
_BARE: Slot = (None, frozenset({UNDESCRIBED}))


def put_pages(tx: Session, entries: Sequence[EntryContent | None]) -> list[str]:
    """Keep the entries of labels that follow each other from a page's first on, and their pages; the pages' digests."""
    rows = [_entry_row(entry) if entry else None for entry in entries]
    pages = [rows[start : start + PAGE_SIZE] for start in range(0, len(rows), PAGE_SIZE)]
    digests = [_digest([row["digest"] if row else None for row in page]) for page in pages]
    # A page that is there has all its entries there: what an enrichment finds unchanged it need not write again.
    there = set(tx.scalars(select(AttributePage.digest).where(AttributePage.digest.in_(digests))))
    new = [page for page, digest in zip(pages, digests, strict=True) if digest not in there]
    _insert_entries(tx, (row for page in new for row in page if row))
    put_page_rows(tx, [[_slot(row["digest"], row) if row else _BARE for row in page] for page in new])
    return digests


def put_page_rows(tx: Session, pages: Sequence[Sequence[Slot]]) -> list[str]:
    """Keep pages of entries that are kept already; their digests in the same order."""
    rows = [_page_row(page) for page in pages]
    insert_ignore(tx, AttributePage, sorted(rows, key=lambda row: str(row["digest"])))
    return [str(row["digest"]) for row in rows]


def _put_slots(tx: Session, entries: Sequence[EntryContent | None]) -> list[Slot]:
    digests = iter(put_entries(tx, [entry for entry in entries if entry]))
    return [_slot(next(digests), entry) if entry else _BARE for entry in entries]


def _slot(digest: str, entry: Mapping[str, Any]) -> Slot:
    return digest, marks_of(entry["lines"], entry["flags"])


def _page_row(page: Sequence[Slot]) -> dict[str, Any]:
    marks: dict[str, list[int]] = {}
    for offset, (_, borne) in enumerate(page):
        for mark in sorted(borne):
            marks.setdefault(mark, []).append(offset)
    flagged = {offset for mark, offsets in marks.items() if mark.startswith(_FLAG) for offset in offsets}
    entries = [digest for digest, _ in page]
    return {
        "digest": _digest(entries),
        "entries": entries,
        "marks": marks,
        "num_flagged": len(flagged),
        "num_described": sum(digest is not None for digest in entries),
    }


def _slots(row: AttributePage) -> list[Slot]:
    borne: list[set[str]] = [set() for _ in row.entries]
    for mark, offsets in row.marks.items():
        for offset in offsets:
            borne[offset].add(mark)
    return [(digest, frozenset(marks)) for digest, marks in zip(row.entries, borne, strict=True)]


def content_digest(vocabulary: Vocabulary, pages: Sequence[str]) -> str:
    """The digest of a set of these pages."""
    return _digest([vocabulary.digest, list(pages)])


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
        id=new_id("ats"),
        vocabulary_id=vocabulary_id,
        parent_id=parent_id,
        digest=content_digest(vocabulary, pages),
        num_labels=vocabulary.num_labels,
        num_described=sum(counts[page][0] for page in pages),
        num_flagged=sum(counts[page][1] for page in pages),
        source=dict(source),
        created_at=time.time(),
    )
    tx.add(made)
    tx.flush()
    tx.execute(
        insert(AttributeSetPage),
        [{"set_id": made.id, "page": number, "digest": digest} for number, digest in enumerate(pages)],
    )
    return made


def derive(
    tx: Session, parent: AttributeSet, changed: Mapping[int, EntryContent | None], *, source: Mapping[str, Any]
) -> AttributeSet:
    """Seal a set that differs from `parent` at these positions. Pages without a change are neither read nor written:
    what is linear in the set is one INSERT … SELECT of its list of pages, and the digest over that list."""
    numbers = sorted({position // PAGE_SIZE for position in changed})
    places = AttributeSetPage.__table__.c
    put = dict(zip(changed, _put_slots(tx, list(changed.values())), strict=True))
    listed = tx.execute(select(places.page, places.digest).where(places.set_id == parent.id))
    digests = {number: digest for number, digest in listed}
    num_described, num_flagged = parent.num_described, parent.num_flagged
    made_pages: dict[int, str] = {}
    for first in range(0, len(numbers), _PAGES_AT_ONCE):
        pages = _pages(tx, parent.id, numbers[first : first + _PAGES_AT_ONCE])
        rows = [_page_row(_with(page, number, put)) for number, page in pages]
        insert_ignore(tx, AttributePage, sorted(rows, key=lambda row: str(row["digest"])))
        for (number, old), row in zip(pages, rows, strict=True):
            made_pages[number] = row["digest"]
            num_described += row["num_described"] - old.num_described
            num_flagged += row["num_flagged"] - old.num_flagged
    digests |= made_pages
    vocabulary = vocabularies.get(tx, parent.vocabulary_id)
    made = AttributeSet(
        id=new_id("ats"),
        vocabulary_id=parent.vocabulary_id,
        parent_id=parent.id,
        digest=_digest([vocabulary.digest, [digests[number] for number in sorted(digests)]]),
        num_labels=parent.num_labels,
        num_described=num_described,
        num_flagged=num_flagged,
        source=dict(source),
        created_at=time.time(),
    )
    tx.add(made)
    tx.flush()
    kept = select(literal(made.id), places.page, places.digest)
    kept = kept.where(places.set_id == parent.id, places.page.not_in(numbers))
    tx.execute(insert(AttributeSetPage).from_select(["set_id", "page", "digest"], kept))
    tx.execute(
        insert(AttributeSetPage),
        [{"set_id": made.id, "page": number, "digest": digest} for number, digest in made_pages.items()],
    )
    return made


def _with(page: AttributePage, number: int, put: Mapping[int, Slot]) -> list[Slot]:
    return [put.get(at, slot) for at, slot in enumerate(_slots(page), number * PAGE_SIZE)]


def _pages(tx: Session, set_id: str, numbers: Sequence[int]) -> list[tuple[int, AttributePage]]:
    query = (
        select(AttributeSetPage.page, AttributePage)
        .join(AttributePage, AttributePage.digest == AttributeSetPage.digest)
        .where(AttributeSetPage.set_id == set_id, AttributeSetPage.page.in_(numbers))
    )
    return [(number, page) for number, page in tx.execute(query)]


def marked(tx: Session, set_id: str, marks: Sequence[str], *, start: int = 0) -> Iterator[int]:
    """The positions ≥ start, in order, of entries that bear all of the marks; read from the pages' marks alone."""
    first, held = start // PAGE_SIZE, _PAGES_AT_ONCE
    while held == _PAGES_AT_ONCE:
        rows = tx.execute(_marks(set_id, marks).where(AttributeSetPage.page >= first).limit(_PAGES_AT_ONCE)).all()
        held, first = len(rows), first + len(rows)
        yield from (at for row in rows for at in _bearing(row) if at >= start)


def marked_among(tx: Session, set_id: str, marks: Sequence[str], positions: Sequence[int]) -> list[int]:
    """Those of the positions whose entries bear all of the marks, in the order given."""
    numbers = sorted({position // PAGE_SIZE for position in positions})
    bearing: set[int] = set()
    for first in range(0, len(numbers), _BATCH):
        some = AttributeSetPage.page.in_(numbers[first : first + _BATCH])
        bearing.update(at for row in tx.execute(_marks(set_id, marks).where(some)) for at in _bearing(row))
    return [position for position in positions if position in bearing]


def _marks(set_id: str, marks: Sequence[str]) -> Select[Any]:
    return (
        select(AttributeSetPage.page, *(AttributePage.marks[mark] for mark in marks))
        .join(AttributePage, AttributePage.digest == AttributeSetPage.digest)
        .where(AttributeSetPage.set_id == set_id)
        .order_by(AttributeSetPage.page)
    )


def _bearing(row: Row[Any]) -> list[int]:
    page: int = row[0]
    borne: list[list[int] | None] = list(row[1:])
    offsets = set.intersection(*(set(some or []) for some in borne))
    return [page * PAGE_SIZE + offset for offset in sorted(offsets)]


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
    found = by_digest(tx, digests)
    return [found[digest] if digest else None for digest in digests]


def entries_on(tx: Session, page: str) -> list[AttributeEntry | None]:
    """The entries of a kept page, named by its digest."""
    digests = tx.scalars(select(AttributePage.entries).where(AttributePage.digest == page)).one()
    found = by_digest(tx, digests)
    return [found[digest] if digest else None for digest in digests]


def entries_at(tx: Session, set_id: str, positions: Sequence[int]) -> dict[int, AttributeEntry]:
    """The entries at these positions, without those of labels that have none; reads the pages that they are on."""
    digests = digests_at(tx, set_id, positions)
    found = by_digest(tx, digests.values())
    return {position: found[digest] for position, digest in digests.items()}


def digests_at(tx: Session, set_id: str, positions: Sequence[int]) -> dict[int, str]:
    """The digests of the entries at these positions, without those of labels that have none."""
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
    return digests


def by_digest(tx: Session, digests: Iterable[str | None]) -> dict[str, AttributeEntry]:
    """The kept entries of these digests."""
    wanted = sorted({digest for digest in digests if digest})
    found: dict[str, AttributeEntry] = {}
    for first in range(0, len(wanted), _BATCH):
        rows = tx.scalars(select(AttributeEntry).where(AttributeEntry.digest.in_(wanted[first : first + _BATCH])))
        found.update((row.digest, row) for row in rows)
    return found
