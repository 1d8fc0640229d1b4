"""Comparison of two attribute sets, label by label."""

from collections.abc import Container, Iterable, Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from api.http.dependencies import ServicesDep
from api.http.schemas import MAX_INT32, Limit, Page, ResponseModel, page
from api.routes.attributes import LineOut
from attributes.types import Line, line_from_json
from store.sets import attribute_sets, comparison
from store.sets.comparison import Difference

router = APIRouter(prefix="/v1/attribute-sets", tags=["attribute sets"])

OtherDifference = Literal["order", "provenance", "flags", "spelling"]


class LabelDifferenceOut(ResponseModel):
    """A label whose attributes differ between two sets."""

    object: Literal["label_difference"] = "label_difference"
    at: int = Field(description="Number of this item in the list; pass it as `after`.")
    position: int | None = Field(
        description="Position in this set's vocabulary; null if the vocabulary lacks the label."
    )
    with_position: int | None = Field(description="Position in the other set's vocabulary; null if it lacks the label.")
    label: str
    sense: str | None
    added: list[LineOut] = Field(description="Lines that only this set has.")
    removed: list[LineOut] = Field(description="Lines that only the other set has.")
    locked: list[LineOut] = Field(description="Lines of both sets that are locked only in this set.")
    unlocked: list[LineOut] = Field(description="Lines of both sets that are locked only in the other set.")
    other: list[OtherDifference] = Field(
        description="What else differs: the order of lines, their origin, strategy or call (`provenance`), the flags, "
        "or the spelling of the label."
    )


@router.get("/{id}/compare", response_model=Page[LabelDifferenceOut])
def compare(
    services: ServicesDep,
    id: str,
    with_: Annotated[str, Query(alias="with", description="Id of the other set, for example of this set's parent.")],
    limit: Limit = 20,
    after: Annotated[int | None, Query(ge=0, le=2 * MAX_INT32, description="`last_id` of the previous page.")] = None,
) -> object:
    """The labels whose attributes differ between this set and another set.

    If the vocabularies differ, labels are matched by name and sense; labels that only the other set has come last.
    """
    with services.db.read() as tx:
        this_set, other_set = attribute_sets.get(tx, id), attribute_sets.get(tx, with_)
        start = 0 if after is None else after + 1
        differences, more = comparison.differences(tx, this_set, other_set, start=start, limit=limit)
        return page([label_difference(difference) for difference in differences], more, lambda item: item.at)


def label_difference(difference: Difference) -> LabelDifferenceOut:
    """The lines of a label that differ."""
    lines, other_lines = (
        [line_from_json(line) for line in entry.lines] if entry else []
        for entry in (difference.entry, difference.other_entry)
    )
    this, other = {line.id: line for line in lines}, {line.id: line for line in other_lines}
    common = [(line, other[line.id]) for line in lines if line.id in other]
    return LabelDifferenceOut(
        at=difference.at,
        position=difference.position,
        with_position=difference.other_position,
        label=difference.label.name,
        sense=difference.label.sense,
        added=_lines_without(lines, other),
        removed=_lines_without(other_lines, this),
        locked=_lines_out(line for line, same in common if line.locked and not same.locked),
        unlocked=_lines_out(line for line, same in common if same.locked and not line.locked),
        other=_other_differences(difference, common, [line.id for line in other_lines if line.id in this]),
    )


def _other_differences(
    difference: Difference, common: Sequence[tuple[Line, Line]], other_order: Sequence[str]
) -> list[OtherDifference]:
    """`common`: the lines of both sets, in this set's order. `other_order`: their ids, in the other set's order."""
    entry, other = difference.entry, difference.other_entry
    if entry is None or other is None:
        return []
    differs: dict[OtherDifference, bool] = {
        "order": [line.id for line, _ in common] != other_order,
        "provenance": any(
            (line.origin, line.strategy, line.call) != (same.origin, same.strategy, same.call) for line, same in common
        ),
        "flags": entry.flags != other.flags,
        "spelling": (entry.label, entry.sense) != (other.label, other.sense),
    }
    return [name for name, is_different in differs.items() if is_different]


def _lines_without(lines: Iterable[Line], ids: Container[str]) -> list[LineOut]:
    return _lines_out(line for line in lines if line.id not in ids)


def _lines_out(lines: Iterable[Line]) -> list[LineOut]:
    return [LineOut.model_validate(line) for line in lines]
