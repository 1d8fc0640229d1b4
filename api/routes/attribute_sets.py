"""Attribute sets: read page by page, searched, compared. Their files: `api.routes.attribute_set_files`; edits:
`api.routes.drafts`."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from sqlalchemy.orm import Session

from api.http.dependencies import Use
from api.http.schemas import MAX_INT32, After, AfterPosition, Limit, LongLimit, Output, Page, Time, page
from attributes.gates.types import Gate
from attributes.types import Line, LineKind, Origin, line_from_json
from store import resources, vocabularies
from store.models import AttributeEntry, AttributeSet, Label
from store.sets import attribute_sets, comparison, drafts, search
from store.sets.comparison import Difference
from store.sets.search import Wanted

router = APIRouter(prefix="/v1/attribute-sets", tags=["attribute sets"])


class AttributeSetOut(Output):
    """An immutable set: for each label of a vocabulary an entry, or none."""

    object: Literal["attribute_set"] = "attribute_set"
    id: str
    vocabulary_id: str
    parent_id: str | None
    digest: str
    num_labels: int
    num_described: int
    num_flagged: int
    source: dict[str, Any]
    created_at: Time


class LineOut(Output):
    """One thing said of a label; `id` names it within the label's lines, and changes with what it says."""

    id: str
    kind: LineKind
    text: str
    part: str
    value: str
    about: str
    other_value: str
    origin: Origin
    locked: bool
    strategy: str
    call: str


class Attributes(Output):
    """What is said of one label, line by line. Where nothing is, `described` is false."""

    object: Literal["attributes"] = "attributes"
    position: int
    label: str
    sense: str | None
    described: bool
    lines: list[LineOut]
    flags: list[str]


def attributes_of(label: Label, lines: Sequence[Mapping[str, Any]], flags: Sequence[str]) -> dict[str, Any]:
    """The fields of `Attributes` for a label and what is said of it."""
    return {
        "position": label.position,
        "label": label.name,
        "sense": label.sense,
        "described": bool(lines),
        "lines": [LineOut.model_validate(line_from_json(line)) for line in lines],
        "flags": list(flags),
    }


def _of_pair(label: Label, entry: AttributeEntry | None) -> dict[str, Any]:
    return attributes_of(label, entry.lines if entry else (), entry.flags if entry else ())


@router.get("", response_model=Page[AttributeSetOut])
def list_all(
    use: Use, limit: Limit = 20, after: After = None, vocabulary_id: str | None = None, parent_id: str | None = None
) -> object:
    """Attribute sets, newest first."""
    with use.db.read() as tx:
        rows, more = resources.page(
            tx, AttributeSet, limit=limit, after=after, vocabulary_id=vocabulary_id, parent_id=parent_id
        )
        return page([AttributeSetOut.model_validate(row) for row in rows], more, lambda one: one.id)


@router.get("/{id}", response_model=AttributeSetOut)
def get(use: Use, id: str) -> object:
    """An attribute set without its entries."""
    with use.db.read() as tx:
        return AttributeSetOut.model_validate(attribute_sets.get(tx, id))


class SetLabel(Attributes):
    """What a set says of one label; `edited` where its draft was asked for and says something else."""

    edited: bool = False


class LabelDifference(Output):
    """A label of which two sets say different things; lines as in this set, those removed as in the other."""

    object: Literal["label_difference"] = "label_difference"
    at: int
    position: int | None
    with_position: int | None
    label: str
    sense: str | None
    added: list[LineOut]
    removed: list[LineOut]
    locked: list[LineOut]
    unlocked: list[LineOut]
    other: list[Literal["order", "provenance", "flags", "spelling"]]


async def _wanted(
    q: Annotated[str, Query(max_length=200, description="A part of the label or its sense, without case.")] = "",
    label: Annotated[str, Query(max_length=200, description="The label's whole name, without case.")] = "",
    gate: Annotated[Gate | None, Query(description="Caught by this gate in the set's report.")] = None,
    flag: Annotated[str, Query(max_length=500, description="With this flag, such as too_few_phrases.")] = "",
    origin: Annotated[Origin | None, Query(description="With a line of this origin.")] = None,
    locked: Annotated[bool, Query(description="With a locked line.")] = False,
    undescribed: Annotated[bool, Query(description="Of which nothing is said.")] = False,
) -> Wanted:
    marks = [attribute_sets.flag_mark(flag)] if flag else []
    marks += [attribute_sets.origin_mark(origin)] if origin else []
    marks += [attribute_sets.LOCKED] if locked else []
    marks += [attribute_sets.UNDESCRIBED] if undescribed else []
    part, name = (unicodedata.normalize("NFC", text).strip() for text in (q, label))
    return Wanted(part_of=part, named=name, gate=gate or "", marks=marks)


@router.get("/{id}/labels", response_model=Page[SetLabel])
def labels(
    use: Use,
    id: str,
    wanted: Annotated[Wanted, Depends(_wanted)],
    limit: LongLimit = 100,
    after: AfterPosition = None,
    draft: Annotated[bool, Query(description="Lines as the set's draft has them; filters look at the set.")] = False,
) -> object:
    """The vocabulary's labels in order, each with what the set says of it; filters count together."""
    start = 0 if after is None else after + 1
    with use.db.read() as tx:
        found = attribute_sets.get(tx, id)
        if wanted:
            at, more = search.positions(tx, found, wanted, start=start, limit=limit)
            entries = attribute_sets.entries_at(tx, id, at)
            named = vocabularies.labels_at(tx, found.vocabulary_id, at)
            pairs = [(label, entries.get(label.position)) for label in named]
        else:
            pairs, more = pairs_of(tx, found, start, start + limit), start + limit < found.num_labels
        edited = drafts.edited(tx, id, [label.position for label, _ in pairs]) if draft else {}
        data = []
        for label, entry in pairs:
            row = edited.get(label.position)
            said = attributes_of(label, row.lines, row.flags) if row else _of_pair(label, entry)
            data.append(SetLabel(**said, edited=row is not None))
        return page(data, more, lambda one: one.position)


@router.get("/{id}/compare", response_model=Page[LabelDifference])
def compare(
    use: Use,
    id: str,
    with_: Annotated[str, Query(alias="with", description="The other set: often the parent of this one.")],
    limit: Limit = 20,
    after: Annotated[int | None, Query(ge=0, le=2 * MAX_INT32, description="`last_id` of the page before.")] = None,
) -> object:
    """Label by label, what this set says that the other does not, and the other way round.

    Sets of different vocabularies are compared by label and sense; labels that only the other has come last.
    """
    with use.db.read() as tx:
        one, other = attribute_sets.get(tx, id), attribute_sets.get(tx, with_)
        start = 0 if after is None else after + 1
        found, more = comparison.differences(tx, one, other, start=start, limit=limit)
        return page([_difference(difference) for difference in found], more, lambda one: one.at)


def _difference(found: Difference) -> LabelDifference:
    lines, others = (
        [line_from_json(line) for line in entry.lines] if entry else [] for entry in (found.entry, found.other_entry)
    )
    before = {line.id: line for line in others}
    ids = {line.id for line in lines}
    both = [(line, before[line.id]) for line in lines if line.id in before]
    return LabelDifference(
        at=found.at,
        position=found.position,
        with_position=found.other_position,
        label=found.label.name,
        sense=found.label.sense,
        added=_out(line for line in lines if line.id not in before),
        removed=_out(line for line in others if line.id not in ids),
        locked=_out(line for line, old in both if line.locked and not old.locked),
        unlocked=_out(line for line, old in both if old.locked and not line.locked),
        other=_otherwise(found, both, [line.id for line in others if line.id in ids]),
    )


def _otherwise(
    found: Difference, both: Sequence[tuple[Line, Line]], order: Sequence[str]
) -> list[Literal["order", "provenance", "flags", "spelling"]]:
    if found.entry is None or found.other_entry is None:
        return []
    names = [(entry.label, entry.sense) for entry in (found.entry, found.other_entry)]
    differs: dict[Literal["order", "provenance", "flags", "spelling"], bool] = {
        "order": [line.id for line, _ in both] != order,
        "provenance": any(
            (line.origin, line.strategy, line.call) != (old.origin, old.strategy, old.call) for line, old in both
        ),
        "flags": found.entry.flags != found.other_entry.flags,
        "spelling": names[0] != names[1],
    }
    return [what for what, it_does in differs.items() if it_does]


def _out(lines: Iterable[Line]) -> list[LineOut]:
    return [LineOut.model_validate(line) for line in lines]


def pairs_of(tx: Session, found: AttributeSet, start: int, stop: int) -> list[tuple[Label, AttributeEntry | None]]:
    """The labels at positions start ≤ p < stop, each with its entry, None where the set has none."""
    rows = vocabularies.labels(tx, found.vocabulary_id, start=start, stop=stop)
    entries = attribute_sets.entries(tx, found.id, start=start, stop=stop) if rows else []
    return list(zip(rows, entries, strict=True))
