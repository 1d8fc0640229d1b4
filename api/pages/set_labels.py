"""The labels of an attribute set as its page shows them: as many as fit into a page of limited size."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import escape

from api.routes.attributes import LabelLines, LineOut
from api.routes.reports import LabelViolationOut, LineViolationOut
from attributes.types import line_from_json

MAX_LABELS = 50
_MAX_BYTES = 190_000
"""Of the labels of a page: with everything else on it, a page stays below 300 KB."""
_LABEL_BYTES, _LINE_BYTES = 900, 560  # the markup around the texts


@dataclass(frozen=True)
class ShownLine:
    """A line, with the words that violate the gate of the filter."""

    line: LineOut
    violation: LineViolationOut | None


@dataclass(frozen=True)
class ShownLabel:
    """A label with the lines that fit. `next_line`: the number of the first line that does not fit, or 0. `state`: a
    digest of its lines, by which a script sees that another person changed them."""

    position: int
    name: str
    sense: str | None
    edited: bool
    flags: Sequence[str]
    lines: Sequence[ShownLine]
    first_line: int
    next_line: int
    state: str
    violation: LabelViolationOut | None


def fit(
    labels: Iterable[LabelLines], *, first_line: int = 0, violations: Mapping[int, LabelViolationOut] | None = None
) -> list[ShownLabel]:
    """The labels from the first on that fit on a page: at least one, of which at least one line is shown.

    `first_line` is the number of the first line of the first label.
    """
    shown: list[ShownLabel] = []
    left = _MAX_BYTES
    for label in labels:
        one = _fitted(label, first_line if not shown else 0, left, (violations or {}).get(label.label.position))
        left -= _LABEL_BYTES + sum(map(_size, one.lines))
        if shown and (left < 0 or one.next_line):
            break
        shown.append(one)
    return shown


def _fitted(label: LabelLines, first_line: int, left: int, violation: LabelViolationOut | None) -> ShownLabel:
    words = {one.id: one for one in violation.lines} if violation else {}
    lines = [LineOut.model_validate(line_from_json(line)) for line in label.lines]
    shown: list[ShownLine] = []
    for line in lines[first_line:]:
        one = ShownLine(line, words.get(line.id))
        left -= _size(one)
        if shown and left < 0:
            break
        shown.append(one)
    end = first_line + len(shown)
    return ShownLabel(
        position=label.label.position,
        name=label.label.name,
        sense=label.label.sense,
        edited=label.edited,
        flags=label.flags,
        lines=shown,
        first_line=min(first_line, len(lines)),
        next_line=end if end < len(lines) else 0,
        state=hashlib.sha256(json.dumps([(line.id, line.locked) for line in lines]).encode()).hexdigest()[:16],
        violation=violation,
    )


def _size(line: ShownLine) -> int:
    texts = (line.line.text, line.line.part, line.line.value, line.line.about, line.line.other_value)
    words = ", ".join(line.violation.words) if line.violation else ""
    return _LINE_BYTES + sum(len(str(escape(text)).encode(errors="replace")) for text in (*texts, words))
