"""What may be asked of a draft, and the making of it: all of the changes or none, each culprit named by its place."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field
from sqlalchemy.orm import Session

from api.http.problems import MAX_ERRORS, StorableInput
from api.http.schemas import MAX_INT32, Input
from attributes import editing
from attributes.editing import EditFault, Lines
from attributes.text import tidy
from attributes.types import Entry, LineKind, line_from_json
from attributes.types import Label as NamedLabel
from store import vocabularies
from store.errors import Culprit, Refused
from store.models import AttributeSet, Label
from store.sets import attribute_sets, drafts
from store.sets.drafts import LabelContent
from store.vocabularies import folded_of

MAX_OPERATIONS = 1_000


class _OfLabel(Input):
    position: int | None = Field(None, ge=0, le=MAX_INT32, description="The label, by its place in the vocabulary;")
    label: str | None = Field(None, description="or by its name without case,")
    sense: str | None = Field(None, description="with its sense where it has one.")


class _Said(Input):
    text: str | None = None
    part: str | None = Field(None, description="For a phrase or contrast.")
    value: str | None = Field(None, description="For a phrase or contrast.")
    about: str | None = Field(None, description="An answer's question, or the label that a contrast tells apart from.")
    other_value: str | None = Field(None, description="For a contrast.")
    locked: bool | None = None


class Add(_OfLabel, _Said):
    """A new line, at the end or before another."""

    op: Literal["add"]
    kind: LineKind
    text: str
    before: str | None = Field(None, description="The id of the line that it is put before.")


class Edit(_OfLabel, _Said):
    """Other words for a line; what is not given stays."""

    op: Literal["edit"]
    line: str = Field(description="The line's id.")
    kind: LineKind | None = None


class Delete(_OfLabel):
    """A line less."""

    op: Literal["delete"]
    line: str


class Lock(_OfLabel):
    """A line, or all of the label's, that every later enrichment keeps; or keeps no longer."""

    op: Literal["lock", "unlock"]
    line: str | None = Field(None, description="All of the label's lines where absent.")


class LineIn(_Said):
    """A line of a label whose lines are replaced."""

    id: str | None = Field(None, description="The line that it was, where it goes on with one.")
    kind: LineKind | None = None


class Replace(_OfLabel):
    """These lines in place of all that the label has."""

    op: Literal["replace"]
    lines: list[LineIn]


class Revert(_OfLabel):
    """The label as the set has it: the draft forgets its edits."""

    op: Literal["revert"]


Operation = Annotated[Add | Edit | Delete | Lock | Replace | Revert, Field(discriminator="op")]


class DraftIn(StorableInput):
    """Changes that are made in this order, all of them or none."""

    operations: list[Operation] = Field(
        min_length=1,
        max_length=MAX_OPERATIONS,
        examples=[[{"op": "add", "label": "crane", "sense": "bird", "kind": "phrase", "text": "a red crown"}]],
    )


Stands = tuple[Label, Sequence[Mapping[str, object]], Sequence[str]]
"""A label with its lines, as rows hold them, and its flags."""


def apply(tx: Session, found: AttributeSet, operations: Sequence[Operation]) -> list[Stands]:
    """Make the changes in the set's draft; how the labels stand that they were about. Raises `Refused`."""
    culprits: list[Culprit] = []
    labels = _labels(tx, found, operations, culprits)
    names = _abouts(tx, found, operations)
    base = attribute_sets.entries_at(tx, found.id, sorted(set(label.position for label in labels.values())))
    before = {at: tuple(map(line_from_json, entry.lines)) for at, entry in base.items()}
    held = drafts.edited(tx, found.id, sorted({label.position for label in labels.values()}))
    lines: dict[int, Lines] = before | {at: tuple(map(line_from_json, row.lines)) for at, row in held.items()}
    for index, operation in enumerate(operations):
        label = labels.get(index)
        if label is None:
            continue
        own, at = str(NamedLabel(label.name, label.sense)), label.position

        def canonical(about: str, own: str = own) -> str | None:
            return None if (name := names.get(about)) == own else name

        try:
            lines[at] = _changed(lines.get(at, ()), before.get(at, ()), operation, canonical)
        except EditFault as fault:
            culprits.append(Culprit(f"/operations/{index}{fault.pointer}", fault.detail))
    if culprits:
        raise Refused("edit_invalid", culprits[0].detail, culprits[:MAX_ERRORS])
    touched = {label.position: label for label in labels.values()}
    stand: list[Stands] = []
    changed: dict[int, LabelContent | None] = {}
    for at, label in touched.items():
        said = lines.get(at, ())
        if said == before.get(at, ()):
            flags = base[at].flags if at in base else []
            changed[at] = None
        else:
            flags = list(editing.flags_anew(Entry(label.name, label.sense, said)))
            changed[at] = LabelContent(lines=[line.as_json() for line in said], flags=flags)
        stand.append((label, [line.as_json() for line in said], flags))
    drafts.put(tx, found.id, changed)
    return stand


def _changed(lines: Lines, before: Lines, operation: Operation, canonical: editing.Canonical) -> Lines:
    given = operation.model_dump(exclude={"op", "position", "label", "sense", "line", "before", "lines"})
    match operation:
        case Add():
            return editing.add(lines, given, canonical, before=operation.before)
        case Edit():
            return editing.edit(lines, operation.line, given, canonical)
        case Delete():
            return editing.remove(lines, operation.line)
        case Lock():
            return editing.lock(lines, operation.line, operation.op == "lock")
        case Replace():
            return editing.rewrite(lines, [line.model_dump() for line in operation.lines], canonical)
        case Revert():
            return before


def _labels(
    tx: Session, found: AttributeSet, operations: Sequence[Operation], culprits: list[Culprit]
) -> dict[int, Label]:
    """Index of an operation → the label that it is about; those that name none become culprits."""
    named = {index: folded_of(one.label, one.sense) for index, one in enumerate(operations) if one.label is not None}
    places = vocabularies.places(tx, found.vocabulary_id, sorted(set(named.values())))
    wanted: dict[int, int] = {}
    for index, one in enumerate(operations):
        pointer = f"/operations/{index}"
        if (one.position is None) == (one.label is None):
            culprits.append(Culprit(pointer, "say which label: by its position, or by label and sense"))
        elif one.position is not None and one.position >= found.num_labels:
            detail = f"the set has {found.num_labels} labels; positions run from 0 to {found.num_labels - 1}"
            culprits.append(Culprit(f"{pointer}/position", detail))
        elif one.label is not None and named[index] not in places:
            name = NamedLabel(one.label[:80], one.sense)
            detail = f'the vocabulary has no label "{name}"; a label that has a sense is named with it'
            culprits.append(Culprit(f"{pointer}/label", detail))
        else:
            wanted[index] = places[named[index]] if one.position is None else one.position
    rows = vocabularies.labels_at(tx, found.vocabulary_id, sorted(set(wanted.values())))
    by_position = {row.position: row for row in rows}
    return {index: by_position[at] for index, at in wanted.items()}


def _abouts(tx: Session, found: AttributeSet, operations: Sequence[Operation]) -> dict[str, str]:
    """What operations say lines are about → the label of the vocabulary that it names, as `str(Label)`."""
    asked = {about for operation in operations for about in _about(operation)}
    readings = {about: _readings(about) for about in asked}
    wanted = sorted({folded for several in readings.values() for folded in several})
    places = vocabularies.places(tx, found.vocabulary_id, wanted)
    rows = vocabularies.labels_at(tx, found.vocabulary_id, sorted(set(places.values())))
    names = {row.position: str(NamedLabel(row.name, row.sense)) for row in rows}
    return {
        about: names[places[folded]]
        for about, several in readings.items()
        for folded in reversed(several)
        if folded in places
    }


def _about(operation: Operation) -> Iterator[str]:
    given = operation.lines if isinstance(operation, Replace) else [operation]
    for one in given:
        about = getattr(one, "about", None)
        if about and len(about) <= editing.MAX_FIELD_CHARS:
            yield tidy(about)


def _readings(about: str) -> list[str]:
    """The folded labels that `name`, or `name (sense)`, may mean: a name may hold brackets, too."""
    folded = [folded_of(about, None)]
    at = about.find(" (")
    while at > 0 and about.endswith(")"):
        folded.append(folded_of(about[:at], about[at + 2 : -1]))
        at = about.find(" (", at + 1)
    return folded
