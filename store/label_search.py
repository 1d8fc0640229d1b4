"""Which labels of an attribute set to show: by name, by a gate that caught them, by marks of their entries.

Names are searched in `labels.folded`, without case; marks are read from pages, so that no entry is opened before the
page of the answer is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.orm import Session

from store import attribute_sets
from store.errors import Conflict
from store.models import AttributeSet, GateFailure, Label, SetReport

_AT_ONCE = 2_000


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
    if not (wanted.part_of or wanted.named or wanted.gate):
        hits: list[int] = []
        for at in attribute_sets.marked(tx, found.id, wanted.marks, start=start):
            hits.append(at)
            if len(hits) > limit:
                break
        return hits[:limit], len(hits) > limit
    hits = []
    marked = set(attribute_sets.marked(tx, found.id, wanted.marks, start=start)) if wanted.marks else None
    query = select(Label.position).where(Label.vocabulary_id == found.vocabulary_id)
    query = query.where(*_conditions(tx, found, wanted)).order_by(Label.position)
    at_once = limit + 1 if marked is None else max(_AT_ONCE, limit + 1)
    while len(hits) <= limit:
        some = list(tx.scalars(query.where(Label.position >= start).limit(at_once)))
        hits += [at for at in some if marked is None or at in marked]
        if len(some) < at_once:
            break
        start = some[-1] + 1
    return hits[:limit], len(hits) > limit


def _conditions(tx: Session, found: AttributeSet, wanted: Wanted) -> list[ColumnElement[bool]]:
    where = func.instr if tx.get_bind().dialect.name == "sqlite" else func.strpos
    conditions: list[ColumnElement[bool]] = []
    if wanted.part_of:
        conditions.append(where(Label.folded, wanted.part_of.casefold()) > 0)
    if wanted.named:
        name = wanted.named.casefold()
        conditions.append(or_(Label.folded == name, where(Label.folded, f"{name}\n") == 1))
    if wanted.gate:
        conditions.append(
            exists().where(
                GateFailure.set_id == found.id, GateFailure.gate == wanted.gate, GateFailure.position == Label.position
            )
        )
    return conditions


def _refuse_unchecked(tx: Session, set_id: str) -> None:
    if tx.scalar(select(SetReport.set_id).where(SetReport.set_id == set_id).limit(1)) is None:
        detail = f"attribute set {set_id} has no report yet: POST /v1/attribute-sets/{set_id}/report makes one"
        raise Conflict("set_not_checked", detail)
