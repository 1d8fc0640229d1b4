"""Which labels of an attribute set to show: by name, by a gate that caught them, by marks of their entries.

Names are searched in `labels.folded`, without case; marks are read from pages, so that no entry is opened before the
page of the answer is known.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Select, exists, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from store.errors import Conflict
from store.models import AttributeSet, GateFailure, Label, SetReport
from store.sets import attribute_sets

_MOST_AT_ONCE = 4_000


@dataclass(frozen=True)
class Wanted:
    """What the labels must be like; empty fields do not count.

    `part_of`: a part of the name or sense. `named`: the whole name. `gate`: caught by it in the set's report. `marks`:
    all of these (`attribute_sets.flag_mark` and others).
    """

    part_of: str = ""
    named: str = ""
    gate: str = ""
    marks: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.part_of or self.named or self.gate or self.marks)


def positions(tx: Session, found: AttributeSet, wanted: Wanted, *, start: int, limit: int) -> tuple[list[int], bool]:
    """Up to `limit` positions ≥ start of labels that are as wanted, in order; and whether there are more.

    Raises `Conflict` where a gate is asked for and the set has no report.
    """
    if wanted.gate:
        _refuse_unchecked(tx, found.id)
    if wanted.gate or wanted.part_of or wanted.named:
        candidates = _by_label(tx, found, wanted, start, limit + 1)
    else:
        candidates = attribute_sets.marked(tx, found.id, wanted.marks, start=start)
    hits = list(islice(candidates, limit + 1))
    return hits[:limit], len(hits) > limit


def _by_label(tx: Session, found: AttributeSet, wanted: Wanted, start: int, at_once: int) -> Iterator[int]:
    """Positions from `start` on by name and gate, taken in growing pieces, of which those with the marks are left."""
    query, position = _query(tx, found, wanted)
    while True:
        some = list(tx.scalars(query.where(position >= start).order_by(position).limit(at_once)))
        yield from attribute_sets.marked_among(tx, found.id, wanted.marks, some) if wanted.marks else some
        if len(some) < at_once:
            return
        start, at_once = some[-1] + 1, min(4 * at_once, _MOST_AT_ONCE)


def _query(tx: Session, found: AttributeSet, wanted: Wanted) -> tuple[Select[int], InstrumentedAttribute[int]]:
    caught = (GateFailure.set_id == found.id) & (GateFailure.gate == wanted.gate)
    if not (wanted.part_of or wanted.named):
        return select(GateFailure.position).where(caught), GateFailure.position
    query = select(Label.position).where(Label.vocabulary_id == found.vocabulary_id)
    where = func.instr if tx.get_bind().dialect.name == "sqlite" else func.strpos
    if wanted.part_of:
        query = query.where(where(Label.folded, wanted.part_of.casefold()) > 0)
    if wanted.named:
        name = wanted.named.casefold()
        query = query.where(or_(Label.folded == name, where(Label.folded, f"{name}\n") == 1))
    if wanted.gate:
        query = query.where(exists().where(caught, GateFailure.position == Label.position))
    return query, Label.position


def _refuse_unchecked(tx: Session, set_id: str) -> None:
    if tx.scalar(select(SetReport.set_id).where(SetReport.set_id == set_id).limit(1)) is None:
        detail = f"attribute set {set_id} has no report yet: POST /v1/attribute-sets/{set_id}/report makes one"
        raise Conflict("set_not_checked", detail)
