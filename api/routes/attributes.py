"""Attributes: the lines of each label of an attribute set, paged, with filters and with the edits of the draft."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import APIRouter, Depends, Query
from pydantic import Field
from sqlalchemy.orm import Session

from api.http.dependencies import ServicesDep
from api.http.schemas import AfterPosition, LongLimit, Page, ResponseModel, page
from attributes.gates.types import Gate
from attributes.types import LineJSON, LineKind, Origin, line_from_json
from limbeck.shared.labels import normalize
from store import vocabularies
from store.models import AttributeEntry, AttributeSet, Label
from store.sets import attribute_sets, drafts, search
from store.sets.search import LabelFilter, Where

router = APIRouter(prefix="/v1/attribute-sets", tags=["attribute sets"])


class LineOut(ResponseModel):
    """One line of a label: a sentence, phrase, answer, contrast or caption. Fields that the kind lacks are empty."""

    id: str = Field(description="Id within the label's lines. It is a hash of the content.")
    kind: LineKind
    text: str
    part: str = Field(description="Part of the object, such as `head`; for kinds phrase and contrast.")
    value: str = Field(description="Value of the part, such as `white`; for kinds phrase and contrast.")
    about: str = Field(description="For kind answer, the question; for kind contrast, the other label.")
    other_value: str = Field(description="For kind contrast: the value of the part for the other label.")
    origin: Origin
    locked: bool = Field(description="Whether later enrichments keep the line.")
    strategy: str = Field(description="Name and version of the strategy that generated the line.")
    call: str = Field(description="Key of the LLM response: `GET /v1/answers/{key}`.")


class AttributesOut(ResponseModel):
    """The lines of one label."""

    object: Literal["attributes"] = "attributes"
    position: int = Field(description="Position of the label in the vocabulary.")
    label: str
    sense: str | None
    described: bool = Field(description="Whether the label has lines.")
    lines: list[LineOut]
    flags: list[str]


class SetLabelOut(AttributesOut):
    """The lines of one label in a set or, if requested, in its draft."""

    edited: bool = Field(False, description="Whether the lines are from the draft and differ from the set.")


def attributes_fields(label: Label, lines: Sequence[LineJSON], flags: Sequence[str]) -> dict[str, Any]:
    """The fields of `AttributesOut` for a label with these lines (as JSON) and flags."""
    return {
        "position": label.position,
        "label": label.name,
        "sense": label.sense,
        "described": bool(lines),
        "lines": [LineOut.model_validate(line_from_json(line)) for line in lines],
        "flags": list(flags),
    }


def labels_with_entries(
    tx: Session, attribute_set: AttributeSet, start: int, stop: int
) -> list[tuple[Label, AttributeEntry | None]]:
    """The labels at positions [start, stop), each with its entry, or None if the set has none."""
    rows = vocabularies.labels(tx, attribute_set.vocabulary_id, start=start, stop=stop)
    entries = attribute_sets.entries(tx, attribute_set.id, start=start, stop=stop) if rows else []
    return list(zip(rows, entries, strict=True))


class LabelLines(NamedTuple):
    """A label with its lines (as JSON) and flags, in the set or in its draft, which then has `edited` it."""

    label: Label
    lines: Sequence[LineJSON]
    flags: Sequence[str]
    edited: bool

    @property
    def content(self) -> tuple[Label, Sequence[LineJSON], Sequence[str]]:
        """Without `edited`."""
        return self.label, self.lines, self.flags


def read_labels(
    tx: Session, attribute_set: AttributeSet, label_filter: LabelFilter, *, start: int, limit: int, draft: bool
) -> tuple[list[LabelLines], bool]:
    """Up to `limit` labels from a position on that match the filter; and whether there are more."""
    if label_filter:
        positions, more = search.positions(tx, attribute_set, label_filter, start=start, limit=limit, draft=draft)
        return labels_at(tx, attribute_set, positions, draft=draft), more
    pairs = labels_with_entries(tx, attribute_set, start, start + limit)
    return _with_lines(tx, attribute_set.id, pairs, draft=draft), start + limit < attribute_set.num_labels


def labels_at(tx: Session, attribute_set: AttributeSet, positions: Sequence[int], *, draft: bool) -> list[LabelLines]:
    """The labels at these positions, in the order of the vocabulary."""
    entries = attribute_sets.entries_at(tx, attribute_set.id, positions)
    labels = vocabularies.labels_at(tx, attribute_set.vocabulary_id, positions)
    pairs = [(label, entries.get(label.position)) for label in labels]
    return _with_lines(tx, attribute_set.id, pairs, draft=draft)


def _with_lines(
    tx: Session, id: str, pairs: Sequence[tuple[Label, AttributeEntry | None]], *, draft: bool
) -> list[LabelLines]:
    edited = drafts.edited(tx, id, [label.position for label, _ in pairs]) if draft else {}
    found = []
    for label, entry in pairs:
        row = edited.get(label.position) or entry
        found.append(LabelLines(label, row.lines if row else (), row.flags if row else (), label.position in edited))
    return found


async def _label_filter(
    q: Annotated[
        str, Query(max_length=200, description="Part of the label's name or sense, or of a line, ignoring case.")
    ] = "",
    within: Annotated[Where, Query(description="Where `q` is searched: in labels, in lines, or in both (`all`).")] = (
        "labels"
    ),
    label: Annotated[str, Query(max_length=200, description="Whole name of the label, ignoring case.")] = "",
    gate: Annotated[Gate | None, Query(description="Labels that fail this gate in the set's report.")] = None,
    flag: Annotated[str, Query(max_length=500, description="Labels with this flag, such as too_few_phrases.")] = "",
    origin: Annotated[Origin | None, Query(description="Labels with a line of this origin.")] = None,
    locked: Annotated[bool, Query(description="Labels with a locked line.")] = False,
    undescribed: Annotated[bool, Query(description="Labels without lines.")] = False,
    unreviewed: Annotated[
        bool,
        Query(description="Labels of which no person locked or wrote a line; with `draft`, not in the draft either."),
    ] = False,
    changed: Annotated[bool, Query(description="Labels that the draft changes.")] = False,
) -> LabelFilter:
    marks = [attribute_sets.flag_mark(flag)] if flag else []
    marks += [attribute_sets.origin_mark(origin)] if origin else []
    marks += [attribute_sets.LOCKED] if locked else []
    marks += [attribute_sets.UNDESCRIBED] if undescribed else []
    return LabelFilter(
        text=normalize(q),
        where=within,
        name=normalize(label),
        gate=gate or "",
        marks=marks,
        unreviewed=unreviewed,
        changed=changed,
    )


@router.get("/{id}/labels", response_model=Page[SetLabelOut])
def labels(
    services: ServicesDep,
    id: str,
    label_filter: Annotated[LabelFilter, Depends(_label_filter)],
    limit: LongLimit = 100,
    after: AfterPosition = None,
    draft: Annotated[bool, Query(description="Return the draft's lines. Filters apply to the set, not to it.")] = False,
) -> object:
    """The vocabulary's labels in order, each with its lines. A label must match all filters."""
    start = 0 if after is None else after + 1
    with services.db.read() as tx:
        attribute_set = attribute_sets.get(tx, id)
        found, more = read_labels(tx, attribute_set, label_filter, start=start, limit=limit, draft=draft)
        data = [SetLabelOut(**attributes_fields(*one.content), edited=one.edited) for one in found]
        return page(data, more, lambda item: item.position)
