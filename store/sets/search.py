"""Filters the labels of an attribute set by name, by a gate that they violate and by marks of their entries.

Names are searched without case in `labels.folded`, and marks are read from pages. Entries are read only for the labels
that are returned.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Select, exists, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from limbeck.shared.labels import fold
from store.errors import Conflict
from store.models import AttributeSet, GateFailure, Label, SetReport
from store.sets import attribute_sets

_MAX_CHUNK = 4_000


@dataclass(frozen=True)
class LabelFilter:
    """Conditions that a label must meet; empty fields are ignored.

    `text`: a substring of the name or sense. `name`: the whole name. `gate`: a gate that the label violates in the
    report of the set. `marks`: the entry has all of these marks (`attribute_sets.flag_mark` and others).
    """

    text: str = ""
    name: str = ""
    gate: str = ""
    marks: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.text or self.name or self.gate or self.marks)


def positions(
    tx: Session, searched: AttributeSet, conditions: LabelFilter, *, start: int, limit: int
) -> tuple[list[int], bool]:
    """Up to `limit` positions ≥ start, ascending, of labels that meet the conditions; and whether there are more.

    Raises `Conflict` if the filter names a gate and the set has no report.
    """
    if conditions.gate:
        _require_report(tx, searched.id)
    if conditions.gate or conditions.text or conditions.name:
        matches = _by_label(tx, searched, conditions, start, limit + 1)
    else:
        matches = attribute_sets.positions_with_marks(tx, searched.id, conditions.marks, start=start)
    found = list(islice(matches, limit + 1))
    return found[:limit], len(found) > limit


def _by_label(tx: Session, searched: AttributeSet, conditions: LabelFilter, start: int, chunk: int) -> Iterator[int]:
    """Positions ≥ start of labels that match by name and gate, read in growing chunks, then filtered by marks."""
    query, position = _query(tx, searched, conditions)
    while True:
        some = list(tx.scalars(query.where(position >= start).order_by(position).limit(chunk)))
        marks = conditions.marks
        yield from attribute_sets.filter_by_marks(tx, searched.id, marks, some) if marks else some
        if len(some) < chunk:
            return
        start, chunk = some[-1] + 1, min(4 * chunk, _MAX_CHUNK)


def _query(
    tx: Session, searched: AttributeSet, conditions: LabelFilter
) -> tuple[Select[int], InstrumentedAttribute[int]]:
    violates = (GateFailure.set_id == searched.id) & (GateFailure.gate == conditions.gate)
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
