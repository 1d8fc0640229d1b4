"""Reports of the quality gates on an attribute set."""

from datetime import datetime
from typing import Literal

from pydantic import JsonValue

from limbeck.models.base import ServiceResponse

GateName = Literal[
    "meta", "names", "length", "nonvisual", "comparatives", "own", "shared", "verbatim", "twins", "margin"
]


class LineViolation(ServiceResponse):
    """A line that violates a gate; `words` violate it, or are the line's figure."""

    id: str
    text: str
    words: tuple[str, ...]


class LabelViolation(ServiceResponse):
    """A label that violates a gate, its violating lines, and `others` that it conflicts with."""

    position: int
    label: str
    lines: tuple[LineViolation, ...]
    others: tuple[str, ...]
    note: str


class Gate(ServiceResponse):
    """The result of a gate. `holds` is None if it was not measured, or not judged because of the language of its lines
    (`status`); `worst`: the worst of `num_labels` labels."""

    gate: GateName | str
    tells: str
    figure: float | None
    threshold: float
    unit: Literal["share", "labels", "lines"]
    holds: bool | None
    status: Literal["holds", "fails", "not_judged", "not_measured"]
    num_not_judged: int
    num_labels: int
    judged_by: str
    details: dict[str, JsonValue]
    worst: tuple[LabelViolation, ...]


class Report(ServiceResponse):
    """The results of the quality gates on an attribute set. `teacher` is None without text margins."""

    attribute_set_id: str
    teacher: str | None
    created_at: datetime
    num_labels: int
    num_described: int
    num_lines: int
    holds: bool
    status: Literal["holds", "fails", "not_judged"]
    languages: dict[str, int]
    gates: tuple[Gate, ...]
