"""Attribute sets: immutable, with content-addressed storage.

An entry (all lines of one label) is stored once under its digest. A page is `PAGE_SIZE` consecutive entry digests and
is also stored once under its digest. A set is a list of pages. For 100,000 labels, a set that differs from its parent
in one phrase costs one entry, one page and a few hundred short rows; any page is read by its number.

A page also has *marks*: the offsets of the entries that have a flag, a line of some origin or a locked line, and of the
labels without an entry. Labels are filtered by marks without reading an entry. `folded` has the texts of all lines of a
page without case, so that lines are searched without reading an entry.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypedDict

from sqlalchemy import ColumnElement, Row, Select, delete, func, insert, literal, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from limbeck.shared.labels import fold
from store import vocabularies
from store.errors import NotFound
from store.ids import new_id
from store.json_types import LineJSON
from store.models import (
    AttributeEntry,
    AttributePage,
    AttributeSet,
    AttributeSetPage,
    UnlistedEntry,
    Vocabulary,
)
from store.unique_rows import insert_ignore

PAGE_SIZE = 256
_BATCH = 1_000
_PAGES_PER_QUERY = 50

LOCKED, UNDESCRIBED = "locked", "undescribed"
_FLAG, _ORIGIN = "flag:", "origin:"
_SEPARATOR = "\x1e"
"""Between the texts of the entries in `AttributePage.folded`."""


class EntryContent(TypedDict):
    """The content of an entry: the label and its lines (`attributes.types.Line` as JSON), each with its origin."""

    label: str
    sense: str | None
    lines: list[LineJSON]
    flags: list[str]


class EntryRow(EntryContent):
    """A row of `AttributeEntry`."""

    digest: str


class PageRow(TypedDict):
    """A row of `AttributePage`."""

    digest: str
    entries: list[str | None]
    marks: dict[str, list[int]]
    num_described: int
    num_flagged: int
    folded: str


def _digest(content: object) -> str:
    return hashlib.sha256(
        json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    ).hexdigest()


_CONTENTS_LOCK = 0x11BEC3  # an arbitrary number that no other advisory lock in the database uses


def share_contents(tx: Session) -> None:
    """Until the transaction ends, no entry and no page is deleted. SQLite has one writer at a time anyway."""
    if tx.get_bind().dialect.name == "postgresql":
        tx.execute(select(func.pg_advisory_xact_lock_shared(_CONTENTS_LOCK)))


def try_to_own_contents(tx: Session) -> bool:
    """Whether no other transaction stores entries or pages, nor begins to until this one ends."""
    if tx.get_bind().dialect.name != "postgresql":
        return True
    return bool(tx.scalar(select(func.pg_try_advisory_xact_lock(_CONTENTS_LOCK))))


def put_entries(tx: Session, entries: Iterable[EntryContent]) -> list[str]:
    """Store the entries; returns their digests in the same order."""
    rows = [_entry_row(entry) for entry in entries]
    _insert_entries(tx, rows)
    return [row["digest"] for row in rows]


def _entry_row(entry: EntryContent) -> EntryRow:
    return {"digest": _digest(entry), **entry}


def _insert_entries(tx: Session, rows: Iterable[EntryRow]) -> None:
    # The same order in every transaction, so that two transactions that store the same entries cannot deadlock.
    ordered = sorted(rows, key=lambda row: str(row["digest"]))
    share_contents(tx)
    insert_ignore(tx, AttributeEntry, ordered)
    if tx.scalar(select(UnlistedEntry.digest).limit(1)) is not None:  # an unused entry is used again
        for start in range(0, len(ordered), _BATCH):
            digests = [row["digest"] for row in ordered[start : start + _BATCH]]
            tx.execute(delete(UnlistedEntry).where(UnlistedEntry.digest.in_(digests)))


def flag_mark(flag: str) -> str:
    """The mark of entries with this flag."""
    return _FLAG + flag


def origin_mark(origin: str) -> str:
    """The mark of entries with a line of this origin."""
    return _ORIGIN + origin


def marks_of(lines: Iterable[LineJSON], flags: Iterable[str]) -> frozenset[str]:
    """The marks of an entry with these lines and flags."""
    lines = list(lines)
    origins = {origin_mark(line["origin"]) for line in lines}
    locked = {LOCKED} if any(line.get("locked") for line in lines) else set()
    return frozenset(origins | locked | {flag_mark(flag) for flag in flags})


class _Slot(NamedTuple):
    """A slot of a page: the digest of its entry (None if the label has no entry), its marks, and its folded text."""

    digest: str | None
    marks: frozenset[str]
    folded: str


_EMPTY_SLOT = _Slot(None, frozenset({UNDESCRIBED}), "")


def put_pages(tx: Session, entries: Sequence[EntryContent | None]) -> list[str]:
    """Store consecutive entries from the start of a page on, and their pages; returns the digests of the pages."""
    rows = [_entry_row(entry) if entry else None for entry in entries]
    pages = [rows[start : start + PAGE_SIZE] for start in range(0, len(rows), PAGE_SIZE)]
    digests = [_digest([row["digest"] if row else None for row in page]) for page in pages]
    share_contents(tx)
    # All entries of a stored page are stored too, so only new pages and their entries are written.
    stored = set(tx.scalars(select(AttributePage.digest).where(AttributePage.digest.in_(digests))))
    new = [page for page, digest in zip(pages, digests, strict=True) if digest not in stored]
    _insert_entries(tx, (row for page in new for row in page if row))
    rows_of_pages = [_page_row([_slot(row["digest"], row) if row else _EMPTY_SLOT for row in page]) for page in new]
    insert_ignore(tx, AttributePage, sorted(rows_of_pages, key=lambda row: str(row["digest"])))
    return digests


def _put_slots(tx: Session, entries: Sequence[EntryContent | None]) -> list[_Slot]:
    digests = iter(put_entries(tx, [entry for entry in entries if entry]))
    return [_slot(next(digests), entry) if entry else _EMPTY_SLOT for entry in entries]


def _slot(digest: str, entry: EntryContent) -> _Slot:
    return _Slot(digest, marks_of(entry["lines"], entry["flags"]), folded_lines(entry["lines"]))


def folded_lines(lines: Iterable[LineJSON]) -> str:
    """The texts of lines as they are searched: without case, one below the other."""
    return "\n".join(fold(line["text"].replace(_SEPARATOR, " ")) for line in lines)


def _page_row(page: Sequence[_Slot]) -> PageRow:
    marks: dict[str, list[int]] = {}
    for offset, slot in enumerate(page):
        for mark in sorted(slot.marks):
            marks.setdefault(mark, []).append(offset)
    flagged = {offset for mark, offsets in marks.items() if mark.startswith(_FLAG) for offset in offsets}
    entries = [slot.digest for slot in page]
    return {
        "digest": _digest(entries),
        "entries": entries,
        "marks": marks,
        "num_flagged": len(flagged),
        "num_described": sum(digest is not None for digest in entries),
        "folded": _SEPARATOR.join(slot.folded for slot in page),
    }


def _slots(row: AttributePage) -> list[_Slot]:
    marks_by_offset: list[set[str]] = [set() for _ in row.entries]
    for mark, offsets in row.marks.items():
        for offset in offsets:
            marks_by_offset[offset].add(mark)
    slots = zip(row.entries, marks_by_offset, row.folded.split(_SEPARATOR), strict=True)
    return [_Slot(digest, frozenset(marks), folded) for digest, marks, folded in slots]


def content_digest(vocabulary: Vocabulary, pages: Sequence[str]) -> str:
    """The digest of a set with these pages (page digests in order)."""
    return _digest([vocabulary.digest, list(pages)])


def create(
    tx: Session,
    *,
    vocabulary_id: str,
    pages: Sequence[str],
    source: Mapping[str, object],
    parent_id: str | None = None,
    owner: str | None = None,
) -> AttributeSet:
    """Create a set from the digests of its pages, all of which must be stored."""
    vocabulary = vocabularies.get(tx, vocabulary_id)
    if len(pages) != -(-vocabulary.num_labels // PAGE_SIZE):
        raise ValueError(f"{len(pages)} pages for {vocabulary.num_labels} labels: a page has {PAGE_SIZE} labels")
    counts: dict[str, tuple[int, int]] = {}
    for start in range(0, len(pages), _BATCH):
        query = select(AttributePage.digest, AttributePage.num_described, AttributePage.num_flagged)
        rows = tx.execute(query.where(AttributePage.digest.in_(pages[start : start + _BATCH])))
        counts.update((digest, (num_described, num_flagged)) for digest, num_described, num_flagged in rows)
    created = AttributeSet(
        id=new_id("ats"),
        owner=owner,
        vocabulary_id=vocabulary_id,
        parent_id=parent_id,
        digest=content_digest(vocabulary, pages),
        num_labels=vocabulary.num_labels,
        num_described=sum(counts[page][0] for page in pages),
        num_flagged=sum(counts[page][1] for page in pages),
        source=dict(source),
        created_at=time.time(),
    )
    tx.add(created)
    tx.flush()
    tx.execute(
        insert(AttributeSetPage),
        [{"set_id": created.id, "page": number, "digest": digest} for number, digest in enumerate(pages)],
    )
    return created


def derive(
    tx: Session,
    parent: AttributeSet,
    changed: Mapping[int, EntryContent | None],
    *,
    source: Mapping[str, object],
    owner: str | None = None,
) -> AttributeSet:
    """Create a set that differs from `parent` at these positions. Unchanged pages are neither read nor written. Only
    the INSERT … SELECT of the list of pages and the digest over that list are linear in the size of the set."""
    share_contents(tx)
    rows = AttributeSetPage.__table__.c
    listed = tx.execute(select(rows.page, rows.digest).where(rows.set_id == parent.id))
    digests = {number: digest for number, digest in listed}
    changes = _put_changed_pages(tx, parent, changed)
    digests |= changes.digests
    vocabulary = vocabularies.get(tx, parent.vocabulary_id)
    derived = AttributeSet(
        id=new_id("ats"),
        owner=owner,
        vocabulary_id=parent.vocabulary_id,
        parent_id=parent.id,
        digest=content_digest(vocabulary, [digests[number] for number in sorted(digests)]),
        num_labels=parent.num_labels,
        num_described=parent.num_described + changes.added_described,
        num_flagged=parent.num_flagged + changes.added_flagged,
        source=dict(source),
        created_at=time.time(),
    )
    tx.add(derived)
    tx.flush()
    unchanged = select(literal(derived.id), rows.page, rows.digest)
    unchanged = unchanged.where(rows.set_id == parent.id, rows.page.not_in(sorted(changes.digests)))
    tx.execute(insert(AttributeSetPage).from_select(["set_id", "page", "digest"], unchanged))
    tx.execute(
        insert(AttributeSetPage),
        [{"set_id": derived.id, "page": number, "digest": digest} for number, digest in changes.digests.items()],
    )
    return derived


@dataclass
class _ChangedPages:
    """The digests of the changed pages by number, and by how much the counts of the set change."""

    digests: dict[int, str] = field(default_factory=dict)
    added_described: int = 0
    added_flagged: int = 0


def _put_changed_pages(tx: Session, parent: AttributeSet, changed: Mapping[int, EntryContent | None]) -> _ChangedPages:
    slots = dict(zip(changed, _put_slots(tx, list(changed.values())), strict=True))
    numbers = sorted({position // PAGE_SIZE for position in changed})
    result = _ChangedPages()
    for first in range(0, len(numbers), _PAGES_PER_QUERY):
        pages = _pages(tx, parent.id, numbers[first : first + _PAGES_PER_QUERY])
        rows = [_page_row(_replaced(page, number, slots)) for number, page in pages]
        insert_ignore(tx, AttributePage, sorted(rows, key=lambda row: str(row["digest"])))
        for (number, old), row in zip(pages, rows, strict=True):
            result.digests[number] = row["digest"]
            result.added_described += row["num_described"] - old.num_described
            result.added_flagged += row["num_flagged"] - old.num_flagged
    return result


def _replaced(page: AttributePage, number: int, slots: Mapping[int, _Slot]) -> list[_Slot]:
    """The slots of page `number` of a set, with those at the positions in `slots` replaced."""
    return [slots.get(position, slot) for position, slot in enumerate(_slots(page), number * PAGE_SIZE)]


def _pages(tx: Session, set_id: str, numbers: Sequence[int]) -> list[tuple[int, AttributePage]]:
    query = (
        select(AttributeSetPage.page, AttributePage)
        .join(AttributePage, AttributePage.digest == AttributeSetPage.digest)
        .where(AttributeSetPage.set_id == set_id, AttributeSetPage.page.in_(numbers))
    )
    return [(number, page) for number, page in tx.execute(query)]


def positions_with_marks(
    tx: Session, set_id: str, marks: Sequence[str], *, without: Sequence[str] = (), start: int = 0
) -> Iterator[int]:
    """The positions ≥ start, ascending, of entries that have all of `marks` and none of `without`."""
    for row in _pages_in_chunks(tx, _marks_query(tx, set_id, marks, without), start):
        yield from (position for position in _marked_positions(row, len(marks)) if position >= start)


def positions_with_text(tx: Session, set_id: str, folded: str, *, start: int = 0) -> Iterator[int]:
    """The positions ≥ start, ascending, of entries with a line that contains the folded text. Reads no entry."""
    index_of = func.instr if tx.get_bind().dialect.name == "sqlite" else func.strpos
    columns = (AttributeSetPage.page, AttributePage.folded)
    query = _of_set(columns, set_id).where(index_of(AttributePage.folded, folded) > 0)
    for row in _pages_in_chunks(tx, query, start):
        page, text = tuple(row)
        found = enumerate(text.split(_SEPARATOR), page * PAGE_SIZE)
        yield from (position for position, entry in found if position >= start and folded in entry)


def filter_by_marks(
    tx: Session, set_id: str, marks: Sequence[str], positions: Sequence[int], *, without: Sequence[str] = ()
) -> list[int]:
    """The positions whose entries have all of `marks` and none of `without`, in the given order."""
    numbers = sorted({position // PAGE_SIZE for position in positions})
    marked: set[int] = set()
    for first in range(0, len(numbers), _BATCH):
        on_pages = AttributeSetPage.page.in_(numbers[first : first + _BATCH])
        for row in tx.execute(_marks_query(tx, set_id, marks, without).where(on_pages)):
            marked.update(_marked_positions(row, len(marks)))
    return [position for position in positions if position in marked]


def _pages_in_chunks(tx: Session, query: Select[Any], start: int) -> Iterator[Row[Any]]:
    """The rows of a query, whose first column is the number of a page, from the page of position `start` on."""
    first, rows = start // PAGE_SIZE, _PAGES_PER_QUERY
    while rows == _PAGES_PER_QUERY:
        found = tx.execute(query.where(AttributeSetPage.page >= first).limit(_PAGES_PER_QUERY)).all()
        yield from found
        rows = len(found)
        first = found[-1][0] + 1 if found else first


def _of_set(columns: Iterable[ColumnElement[Any] | InstrumentedAttribute[Any]], set_id: str) -> Select[Any]:
    joined = select(*columns).join(AttributePage, AttributePage.digest == AttributeSetPage.digest)
    return joined.where(AttributeSetPage.set_id == set_id).order_by(AttributeSetPage.page)


def _marks_query(tx: Session, set_id: str, marks: Sequence[str], without: Sequence[str]) -> Select[Any]:
    is_sqlite = tx.get_bind().dialect.name == "sqlite"
    size = (func.json_array_length if is_sqlite else func.jsonb_array_length)(AttributePage.entries)
    offsets = (AttributePage.marks[mark] for mark in (*marks, *without))
    return _of_set((AttributeSetPage.page, size, *offsets), set_id)


def _marked_positions(row: Row[Any], num_wanted: int) -> list[int]:
    """The positions on a page (number, size, offsets of each mark) with the first marks and without the others."""
    page, size, *marks = tuple(row)
    offsets = set(range(size))
    for index, marked in enumerate(marks):
        offsets = offsets & set(marked or ()) if index < num_wanted else offsets - set(marked or ())
    return [page * PAGE_SIZE + offset for offset in sorted(offsets)]


def described_positions(tx: Session, pages: Sequence[str]) -> set[int]:
    """The positions that have an entry in a set of these pages (page digests in order)."""
    positions: set[int] = set()
    for start in range(0, len(pages), _PAGES_PER_QUERY):
        some = pages[start : start + _PAGES_PER_QUERY]
        query = select(AttributePage.digest, AttributePage.entries).where(AttributePage.digest.in_(some))
        entries_by_page = {digest: entries for digest, entries in tx.execute(query)}
        for number, digest in enumerate(some, start):
            entries = enumerate(entries_by_page[digest], number * PAGE_SIZE)
            positions.update(position for position, entry in entries if entry)
    return positions


def get(tx: Session, set_id: str) -> AttributeSet:
    """The set. Raises `NotFound`."""
    row = tx.get(AttributeSet, set_id)
    if row is None:
        raise NotFound("attribute set", set_id)
    return row


def entries(tx: Session, set_id: str, *, start: int = 0, stop: int | None = None) -> list[AttributeEntry | None]:
    """The entries at start ≤ position < stop; None for labels without an entry."""
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
    """The entries of the page with this digest; None for labels without an entry."""
    digests = tx.scalars(select(AttributePage.entries).where(AttributePage.digest == page)).one()
    found = by_digest(tx, digests)
    return [found[digest] if digest else None for digest in digests]


def entries_at(tx: Session, set_id: str, positions: Sequence[int]) -> dict[int, AttributeEntry]:
    """Position → entry. Labels without an entry are omitted. Reads the pages that contain the positions."""
    digests = digests_at(tx, set_id, positions)
    found = by_digest(tx, digests.values())
    return {position: found[digest] for position, digest in digests.items()}


def digests_at(tx: Session, set_id: str, positions: Sequence[int]) -> dict[int, str]:
    """Position → digest of its entry. Labels without an entry are omitted."""
    digests: dict[int, str] = {}
    numbers = sorted({position // PAGE_SIZE for position in positions})
    wanted = set(positions)
    for first in range(0, len(numbers), _PAGES_PER_QUERY):
        query = (
            select(AttributeSetPage.page, AttributePage.entries)
            .join(AttributePage, AttributePage.digest == AttributeSetPage.digest)
            .where(AttributeSetPage.set_id == set_id)
            .where(AttributeSetPage.page.in_(numbers[first : first + _PAGES_PER_QUERY]))
        )
        for page, entries_on_page in tx.execute(query):
            numbered = enumerate(entries_on_page, page * PAGE_SIZE)
            digests.update((position, digest) for position, digest in numbered if digest and position in wanted)
    return digests


def by_digest(tx: Session, digests: Iterable[str | None]) -> dict[str, AttributeEntry]:
    """Digest → entry, for the digests that are stored. None is ignored."""
    wanted = sorted({digest for digest in digests if digest})
    found: dict[str, AttributeEntry] = {}
    for first in range(0, len(wanted), _BATCH):
        rows = tx.scalars(select(AttributeEntry).where(AttributeEntry.digest.in_(wanted[first : first + _BATCH])))
        found.update((row.digest, row) for row in rows)
    return found
