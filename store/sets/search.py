"""Filters the labels of an attribute set by name, by line, by a gate that they violate and by marks of their entries.

Names are searched without case in `labels.folded`, lines in `attribute_pages.folded`, and marks are read from pages.
Entries are read only for the labels that are returned.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Literal

from sqlalchemy import Select, exists, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from limbeck.shared.labels import fold
from store.errors import Conflict
from store.models import AttributeDraftEntry, AttributeSet, GateFailure, Label, SetReport
from store.sets import attribute_sets, drafts

_MAX_CHUNK = 4_000
REVIEWED = (attribute_sets.LOCKED, attribute_sets.origin_mark("human"))
"""The marks of entries that a person reviewed: one of their lines is locked, or was written by a person."""
Where = Literal["labels", "lines", "all"]


@dataclass(frozen=True)
class LabelFilter:
    """Conditions that a label must meet; empty fields are ignored.

    `text`: a substring of the name or sense, of a line, or of one of them, as `where` says. `name`: the whole name.
    `gate`: a gate that the label violates in the report of the set. `marks`: the entry has all of these marks
    (`attribute_sets.flag_mark` and others). `unreviewed`: no person locked or wrote one of its lines. `changed`: the
    draft changes it.
    """

    text: str = ""
    where: Where = "labels"
    name: str = ""
    gate: str = ""
    marks: Sequence[str] = ()
    unreviewed: bool = False
    changed: bool = False

    def __bool__(self) -> bool:
        return bool(self.text or self.name or self.gate or self.marks or self.unreviewed or self.changed)


def positions(
    tx: Session, searched: AttributeSet, conditions: LabelFilter, *, start: int, limit: int, draft: bool = False
) -> tuple[list[int], bool]:
    """Up to `limit` positions ≥ start, ascending, of labels that meet the conditions; and whether there are more.

    The conditions apply to the set. With `draft`, labels that a person reviewed in the draft are not unreviewed either.
    Raises `Conflict` if the filter names a gate and the set has no report.
    """
    if conditions.gate:
        _require_report(tx, searched.id)
    matches = _matches(tx, searched, conditions, start, limit + 1)
    if conditions.unreviewed and draft:
        matches = _not_reviewed_in_draft(tx, searched.id, matches, limit + 1)
    found = list(islice(matches, limit + 1))
    return found[:limit], len(found) > limit


def _matches(tx: Session, searched: AttributeSet, conditions: LabelFilter, start: int, chunk: int) -> Iterator[int]:
    """Positions ≥ start. The first condition below that is set yields them, and the others are tested in chunks."""
    marks, without = conditions.marks, REVIEWED if conditions.unreviewed else ()
    is_in_lines = bool(conditions.text) and conditions.where != "labels"
    if is_in_lines:
        some = _chunks(_with_text(tx, searched, conditions, start), chunk)
        if conditions.name or conditions.gate or conditions.changed:
            some = (_tested(tx, searched, conditions, positions) for positions in some)
    elif conditions.text or conditions.name or conditions.gate or conditions.changed:
        some = _by_query(tx, searched, conditions, start, chunk)
    else:
        yield from attribute_sets.positions_with_marks(tx, searched.id, marks, without=without, start=start)
        return
    for positions in some:
        is_tested = bool(marks or without)
        yield from (
            attribute_sets.filter_by_marks(tx, searched.id, marks, positions, without=without)
            if is_tested
            else positions
        )


def _chunks(found: Iterator[int], chunk: int) -> Iterator[Sequence[int]]:
    """Growing chunks: a page of results is often complete with the first."""
    while positions := list(islice(found, chunk)):
        yield positions
        chunk = min(4 * chunk, _MAX_CHUNK)


def _with_text(tx: Session, searched: AttributeSet, conditions: LabelFilter, start: int) -> Iterator[int]:
    in_lines = attribute_sets.positions_with_text(tx, searched.id, fold(conditions.text), start=start)
    if conditions.where == "lines":
        return in_lines
    names = _by_query(tx, searched, LabelFilter(text=conditions.text), start, _MAX_CHUNK)
    in_names = (position for positions in names for position in positions)
    return (position for position, _ in groupby(heapq.merge(in_names, in_lines)))


def _tested(tx: Session, searched: AttributeSet, conditions: LabelFilter, positions: Sequence[int]) -> Sequence[int]:
    """The positions that meet the conditions besides text and marks."""
    tested = LabelFilter(name=conditions.name, gate=conditions.gate, changed=conditions.changed)
    query, position = _query(tx, searched, tested)
    return list(tx.scalars(query.where(position.in_(positions)).order_by(position)))


def _by_query(
    tx: Session, searched: AttributeSet, conditions: LabelFilter, start: int, chunk: int
) -> Iterator[Sequence[int]]:
    """Positions ≥ start of labels that match by name, gate and draft, in growing chunks."""
    query, position = _query(tx, searched, conditions)
    while True:
        some = list(tx.scalars(query.where(position >= start).order_by(position).limit(chunk)))
        yield some
        if len(some) < chunk:
            return
        start, chunk = some[-1] + 1, min(4 * chunk, _MAX_CHUNK)


def _not_reviewed_in_draft(tx: Session, set_id: str, found: Iterator[int], chunk: int) -> Iterator[int]:
    for positions in _chunks(found, chunk):
        edited = drafts.edited(tx, set_id, positions)
        reviewed = {
            position for position, row in edited.items() if attribute_sets.marks_of(row.lines, ()) & set(REVIEWED)
        }
        yield from (position for position in positions if position not in reviewed)


def _query(
    tx: Session, searched: AttributeSet, conditions: LabelFilter
) -> tuple[Select[int], InstrumentedAttribute[int]]:
    violates = (GateFailure.set_id == searched.id) & (GateFailure.gate == conditions.gate)
    changes = AttributeDraftEntry.set_id == searched.id
    if conditions.changed:
        query = select(AttributeDraftEntry.position).where(changes)
        if conditions.gate:
            query = query.where(exists().where(violates, GateFailure.position == AttributeDraftEntry.position))
        if conditions.text or conditions.name:
            labels, position = _query(tx, searched, LabelFilter(text=conditions.text, name=conditions.name))
            query = query.where(labels.where(position == AttributeDraftEntry.position).exists())
        return query, AttributeDraftEntry.position
    if not (conditions.text or conditions.name):
        return select(GateFailure.position).where(violates), GateFailure.position
    query = select(Label.position).where(Label.vocabulary_id == searched.vocabulary_id)
    index_of = func.instr if tx.get_bind().dialect.name == "sqlite" else func.strpos
    if conditions.text:
        query = query.where(index_of(Label.folded, fold(conditions.text)) > 0)
    if conditions.name:
        name = fold(conditions.name)
        query = query.where(or_(Label.folded == name, index_of(Label.folded, f"{name}\n") == 1))
    if conditions.gate:
        query = query.where(exists().where(violates, GateFailure.position == Label.position))
    return query, Label.position


def _require_report(tx: Session, set_id: str) -> None:
    if tx.scalar(select(SetReport.set_id).where(SetReport.set_id == set_id).limit(1)) is None:
        detail = f"attribute set {set_id} has no report: create one with POST /v1/attribute-sets/{set_id}/report"
        raise Conflict("set_not_checked", detail)
