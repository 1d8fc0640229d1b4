"""Draft changes in requests: the schemas of the operations, and their application to a draft (all or none)."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, NamedTuple

from pydantic import Field
from sqlalchemy.orm import Session

from api.http.problems import MAX_ERRORS, StorableRequestModel
from api.http.schemas import MAX_INT32, ONE_FAULT, RequestModel
from attributes import editing
from attributes.editing import MAX_LINES, EditError, LineChange, Lines
from attributes.types import Entry, LineJSON, LineKind, line_from_json
from attributes.types import Label as NamedLabel
from limbeck.shared.labels import normalize, readings
from limbeck.shared.text import counted
from store import vocabularies
from store.errors import InvalidField, InvalidRequest
from store.models import AttributeSet, Label
from store.sets import attribute_sets, drafts
from store.sets.drafts import LabelContent
from store.vocabularies import fold_label

MAX_OPERATIONS = 1_000


class _LabelSelector(RequestModel):
    position: int | None = Field(
        None,
        ge=0,
        le=MAX_INT32,
        description="Position of the label in the vocabulary. Either this or `label` is required.",
    )
    label: str | None = Field(None, description="Name of the label, ignoring case.")
    sense: str | None = Field(None, description="Sense of the label, if it has one; goes with `label`.")


class _LineFields(RequestModel):
    text: str | None = None
    part: str | None = Field(None, description="For kinds phrase and contrast.")
    value: str | None = Field(None, description="For kinds phrase and contrast.")
    about: str | None = Field(None, description="For kind answer, the question; for kind contrast, the other label.")
    other_value: str | None = Field(None, description="For kind contrast.")
    locked: bool | None = Field(None, description="Whether later enrichments keep the line.")


class AddLineIn(_LabelSelector, _LineFields):
    """Add a line at the end, or before another line."""

    op: Literal["add"]
    kind: LineKind
    text: str
    before: str | None = Field(None, description="Id of the line that follows the new line.")


class EditLineIn(_LabelSelector, _LineFields):
    """Change a line. Absent fields keep their values."""

    op: Literal["edit"]
    line: str = Field(description="Id of the line.")
    kind: LineKind | None = None


class DeleteLineIn(_LabelSelector):
    """Delete a line."""

    op: Literal["delete"]
    line: str = Field(description="Id of the line.")


class LockIn(_LabelSelector):
    """Lock or unlock one line or all lines of a label. Later enrichments keep locked lines."""

    op: Literal["lock", "unlock"]
    line: str | None = Field(None, description="Id of the line. If absent, all lines of the label.")


class ReplacementLineIn(_LineFields):
    """A line of a label whose lines are replaced."""

    id: str | None = Field(None, description="Id of the existing line that this line continues. If absent, a new line.")
    kind: LineKind | None = None


class ReplaceLinesIn(_LabelSelector):
    """Replace all lines of a label."""

    op: Literal["replace"]
    lines: Annotated[list[ReplacementLineIn], ONE_FAULT, Field(max_length=MAX_LINES)]


class RevertLabelIn(_LabelSelector):
    """Discard the draft's edits of a label."""

    op: Literal["revert"]


OperationIn = Annotated[
    AddLineIn | EditLineIn | DeleteLineIn | LockIn | ReplaceLinesIn | RevertLabelIn, Field(discriminator="op")
]


class DraftChangesIn(StorableRequestModel):
    """Operations that are applied in this order, all or none."""

    operations: Annotated[list[OperationIn], ONE_FAULT] = Field(
        min_length=1,
        max_length=MAX_OPERATIONS,
        examples=[[{"op": "add", "label": "crane", "sense": "bird", "kind": "phrase", "text": "a red crown"}]],
    )


class LabelState(NamedTuple):
    """A label with its lines (as JSON) and flags in a draft."""

    label: Label
    lines: Sequence[LineJSON]
    flags: Sequence[str]


def apply_operations(tx: Session, attribute_set: AttributeSet, operations: Sequence[OperationIn]) -> list[LabelState]:
    """Apply the operations to the set's draft, and return the state of the labels that they name.

    Raises `InvalidRequest` with one item per invalid operation; then the draft is unchanged.
    """
    invalid_fields: list[InvalidField] = []
    labels = _labels_by_operation(tx, attribute_set, operations, invalid_fields)
    resolved = _resolve_about(tx, attribute_set, operations)
    positions = sorted({label.position for label in labels.values()})
    entries = attribute_sets.entries_at(tx, attribute_set.id, positions)
    before: dict[int, Lines] = {at: tuple(map(line_from_json, entry.lines)) for at, entry in entries.items()}
    edited = drafts.edited(tx, attribute_set.id, positions)
    lines = before | {at: tuple(map(line_from_json, row.lines)) for at, row in edited.items()}
    for index, operation in enumerate(operations):
        label = labels.get(index)
        if label is None:
            continue
        own_name, position = str(NamedLabel(label.name, label.sense)), label.position

        def resolve(about: str, own_name: str = own_name) -> str | None:
            return None if (name := resolved.get(about)) == own_name else name

        try:
            lines[position] = _apply(operation, lines.get(position, ()), before.get(position, ()), resolve)
        except EditError as error:
            invalid_fields.append(InvalidField(f"/operations/{index}{error.pointer}", error.detail))
    if invalid_fields:
        raise InvalidRequest("edit_invalid", invalid_fields[0].detail, invalid_fields[:MAX_ERRORS])
    states: list[LabelState] = []
    changed: dict[int, LabelContent | None] = {}
    for position, label in {label.position: label for label in labels.values()}.items():
        content = lines.get(position, ())
        if content == before.get(position, ()):
            flags = entries[position].flags if position in entries else []
            changed[position] = None
        else:
            flags = list(editing.recompute_flags(Entry(label.name, label.sense, content)))
            changed[position] = LabelContent(lines=[line.as_json() for line in content], flags=flags)
        states.append(LabelState(label, [line.as_json() for line in content], flags))
    drafts.put(tx, attribute_set.id, changed)
    return states


def _apply(operation: OperationIn, lines: Lines, before: Lines, resolve: editing.LabelResolver) -> Lines:
    """The label's lines after the operation; `before` are the lines in the set, without the draft's edits."""
    not_fields = {"op", "position", "label", "sense", "line", "before", "lines"}
    change = LineChange(**operation.model_dump(exclude=not_fields))
    match operation:
        case AddLineIn():
            return editing.add(lines, change, resolve, before=operation.before)
        case EditLineIn():
            return editing.edit(lines, operation.line, change, resolve)
        case DeleteLineIn():
            return editing.remove(lines, operation.line)
        case LockIn():
            return editing.lock(lines, operation.line, operation.op == "lock")
        case ReplaceLinesIn():
            changes = [LineChange(**line.model_dump()) for line in operation.lines]
            return editing.replace_all(lines, changes, resolve)
        case RevertLabelIn():
            return before


def _labels_by_operation(
    tx: Session, attribute_set: AttributeSet, operations: Sequence[OperationIn], invalid_fields: list[InvalidField]
) -> dict[int, Label]:
    """Index of an operation → its label. Adds an item to `invalid_fields` for each operation without a valid label."""
    folded = {index: fold_label(one.label, one.sense) for index, one in enumerate(operations) if one.label is not None}
    known = vocabularies.positions_by_folded_label(tx, attribute_set.vocabulary_id, sorted(set(folded.values())))
    positions: dict[int, int] = {}
    for index, operation in enumerate(operations):
        pointer = f"/operations/{index}"
        if (operation.position is None) == (operation.label is None):
            detail = "name the label either by position, or by label and sense"
            invalid_fields.append(InvalidField(pointer, detail))
        elif operation.position is not None and operation.position >= attribute_set.num_labels:
            last = attribute_set.num_labels - 1
            detail = f"the set has {counted(attribute_set.num_labels, 'label')}; positions run from 0 to {last}"
            invalid_fields.append(InvalidField(f"{pointer}/position", detail))
        elif operation.label is not None and folded[index] not in known:
            name = NamedLabel(operation.label[:80], operation.sense)
            detail = f'the vocabulary has no label "{name}"; give the sense of a label that has one'
            invalid_fields.append(InvalidField(f"{pointer}/label", detail))
        else:
            positions[index] = known[folded[index]] if operation.position is None else operation.position
    rows = vocabularies.labels_at(tx, attribute_set.vocabulary_id, sorted(set(positions.values())))
    by_position = {row.position: row for row in rows}
    return {index: by_position[position] for index, position in positions.items()}


def _resolve_about(tx: Session, attribute_set: AttributeSet, operations: Sequence[OperationIn]) -> dict[str, str]:
    """Value of an `about` field → the label of the vocabulary that it names, as `str(Label)`."""
    candidates = {
        about: [fold_label(*label) for label in readings(about)]
        for operation in operations
        for about in _about_fields(operation)
    }
    folded = sorted({label for labels in candidates.values() for label in labels})
    positions = vocabularies.positions_by_folded_label(tx, attribute_set.vocabulary_id, folded)
    rows = vocabularies.labels_at(tx, attribute_set.vocabulary_id, sorted(set(positions.values())))
    names = {row.position: str(NamedLabel(row.name, row.sense)) for row in rows}
    return {
        about: names[positions[label]]
        for about, labels in candidates.items()
        for label in reversed(labels)
        if label in positions
    }


def _about_fields(operation: OperationIn) -> Iterator[str]:
    for item in operation.lines if isinstance(operation, ReplaceLinesIn) else [operation]:
        about = getattr(item, "about", None)
        if about and len(about) <= editing.MAX_FIELD_CHARS:
            yield normalize(about)
