"""Attribute sets, their lines, drafts, differences and imports."""

from datetime import datetime
from typing import Literal

from pydantic import JsonValue

from limbeck.models.base import ServiceResponse

LineKind = Literal["sentence", "phrase", "answer", "contrast", "caption"]
LineOrigin = Literal["llm", "human", "import"]


class Line(ServiceResponse):
    """A line of a label: a sentence, or a phrase that completes "which has", with its part and value."""

    id: str
    kind: LineKind | str
    text: str
    part: str
    value: str
    about: str
    other_value: str
    origin: LineOrigin | str
    locked: bool
    strategy: str
    call: str


class Attributes(ServiceResponse):
    """The lines of one label. `described` is false if there are none."""

    position: int
    label: str
    sense: str | None
    described: bool
    lines: tuple[Line, ...]
    flags: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The first sentence, or ""."""
        return next((line.text for line in self.lines if line.kind == "sentence"), "")

    @property
    def phrases(self) -> tuple[str, ...]:
        """The texts of the phrases, in order."""
        return tuple(line.text for line in self.lines if line.kind == "phrase")


class SetLabel(Attributes):
    """The lines of one label in a set. `edited`: the draft was requested and changes the label."""

    edited: bool = False


class LabelDifference(ServiceResponse):
    """A label that differs between two sets. `at` is its number in the list; `position` or `with_position` is None if
    one set does not have the label; `other` names further differences: order, provenance, flags, spelling."""

    at: int
    position: int | None
    with_position: int | None
    label: str
    sense: str | None
    added: tuple[Line, ...]
    removed: tuple[Line, ...]
    locked: tuple[Line, ...]
    unlocked: tuple[Line, ...]
    other: tuple[Literal["order", "provenance", "flags", "spelling"] | str, ...]


class Draft(ServiceResponse):
    """Edits of a set that are not sealed yet. A change names the `version` that it applies to."""

    attribute_set_id: str
    version: int
    num_edited: int
    updated_at: datetime | None


class DraftChanged(Draft):
    """The draft after a change, with the new state of the changed labels."""

    changed: tuple[Attributes, ...]


class LabelResult(Attributes):
    """The result of an enrich job for one label so far; `reason` says why a question failed."""

    reason: str | None
    detail: str | None


class AttributeSet(ServiceResponse):
    """An immutable set of attributes, one entry for each label of its vocabulary."""

    id: str
    vocabulary_id: str
    parent_id: str | None
    digest: str
    num_labels: int
    num_described: int
    num_flagged: int
    source: dict[str, JsonValue]
    owner: str | None = None
    created_at: datetime


class LeftOut(ServiceResponse):
    """A text or label of a file that an import left out."""

    pointer: str
    detail: str


class Match(ServiceResponse):
    """A label of a file, and the labels of the vocabulary that have its attributes now."""

    label: str
    labels: tuple[str, ...]


class ImportReport(ServiceResponse):
    """What an import read, changed, matched and left out. Lists are cut; the numbers count all."""

    read_as: str
    encoding: str
    num_labels: int
    num_lines: int
    normalized_texts: int
    normalized_labels: int
    dropped_characters: int
    empty_texts: int
    repeated_texts: int
    warnings: tuple[str, ...]
    num_left_out: int
    left_out: tuple[LeftOut, ...]
    num_exact: int
    num_normalized: int
    num_mapped: int
    num_shared: int
    normalized: tuple[Match, ...]
    mapped: tuple[Match, ...]
    shared: tuple[Match, ...]
    num_without_entry: int
    without_entry: tuple[str, ...]


class ImportedSet(AttributeSet):
    """The set that an import made, with the report of the import."""

    import_report: ImportReport
