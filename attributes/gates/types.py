"""Gates, thresholds, violations and reports. A gate compares a figure of the set with a threshold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypedDict

from attributes.json_types import JSONObject

Gate = Literal["length", "meta", "names", "comparatives", "nonvisual", "own", "shared", "verbatim", "twins", "margin"]
Status = Literal["holds", "fails", "not_judged", "not_measured"]
FigureUnit = Literal["share", "labels", "lines"]

GATES: tuple[Gate, ...] = (
    "length",
    "meta",
    "names",
    "comparatives",
    "nonvisual",
    "own",
    "shared",
    "verbatim",
    "twins",
    "margin",
)

GATE_TITLES: dict[Gate, str] = {
    "length": "texts beyond the teacher's context",
    "meta": "lines that are no description",
    "names": "lines that name another label",
    "comparatives": "lines with comparatives",
    "nonvisual": "lines with non-visual words",
    "own": "labels with too few own attributes",
    "shared": "attributes shared with other labels",
    "verbatim": "lines shared word for word",
    "twins": "labels with a near-duplicate",
    "margin": "labels with a reduced margin",
}


ENGLISH_GATES: frozenset[Gate] = frozenset({"comparatives", "nonvisual", "own", "shared"})
"""The gates whose word lists or lemmas are English: they judge English lines only."""


class LineViolationJSON(TypedDict):
    """A line that violates a gate, as in reports and violation files."""

    id: str
    text: str
    words: list[str]


class ViolationJSON(TypedDict):
    """A violation, as in reports and violation files."""

    position: int
    label: str
    lines: list[LineViolationJSON]
    others: list[str]
    note: str


class GateResultJSON(TypedDict):
    """The result of a gate, as in reports."""

    gate: Gate
    tells: str
    figure: float | None
    threshold: float
    unit: FigureUnit
    holds: bool | None
    status: Status
    num_not_judged: int
    num_labels: int
    judged_by: str
    details: JSONObject
    worst: list[ViolationJSON]


class ReportJSON(TypedDict):
    """A report, as in files and API responses."""

    num_labels: int
    num_described: int
    num_lines: int
    holds: bool
    status: Literal["holds", "fails", "not_judged"]
    languages: dict[str, int]
    gates: list[GateResultJSON]


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Thresholds of the gates. `nonvisual` and `shared` are maximum shares (0..1), `min_own` is the minimum number of
    own attributes of a label; two labels are near-duplicates if their word Jaccard is at least `twin`."""

    nonvisual: float = 0.02
    shared: float = 0.15
    min_own: int = 2
    twin: float = 0.7


@dataclass(frozen=True, slots=True)
class LineViolation:
    """A line that violates a gate: its id, its text, and the words that violate the gate (or the reason). `call` is the
    key of the LLM call that produced the line; it is empty for a line that a person wrote or locked."""

    id: str
    text: str
    words: tuple[str, ...]
    call: str = ""


@dataclass(frozen=True, slots=True)
class Violation:
    """A label that violates a gate. The largest `weight` is the worst; `others` are the labels that it conflicts with.
    Without `lines` the violation concerns the whole entry."""

    gate: Gate
    position: int
    label: str
    weight: float
    lines: tuple[LineViolation, ...] = ()
    others: tuple[str, ...] = ()
    note: str = ""

    def as_json(self) -> ViolationJSON:
        """The violation as JSON, as in reports and violation files."""
        return {
            "position": self.position,
            "label": self.label,
            "lines": [{"id": line.id, "text": line.text, "words": list(line.words)} for line in self.lines],
            "others": list(self.others),
            "note": self.note,
        }


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """The result of a gate over a set. `figure` and `threshold` are shares (0..1) if `unit` is "share", else counts.

    `holds` is None if the gate was not measured or not judged; `judged_by` then gives the reason, otherwise the method.
    `num_not_judged` lines are in a language that the gate cannot judge. `num_labels` labels violate the gate; `worst`
    are the worst of them. `details` are further figures of the gate, as JSON.
    """

    gate: Gate
    figure: float | None
    threshold: float
    unit: FigureUnit
    holds: bool | None
    num_labels: int = 0
    judged_by: str = ""
    details: JSONObject = field(default_factory=dict)
    worst: Sequence[Violation] = ()
    num_not_judged: int = 0

    @property
    def status(self) -> Status:
        """`not_judged`: the lines are in a language that the gate does not know. `not_measured`: the gate needs more
        than the set."""
        if self.holds is None:
            return "not_judged" if self.num_not_judged else "not_measured"
        return "holds" if self.holds else "fails"

    @property
    def tells(self) -> str:
        """The gate in words."""
        return GATE_TITLES[self.gate]

    def as_json(self) -> GateResultJSON:
        """The result as JSON, as in reports."""
        return {
            "gate": self.gate,
            "tells": self.tells,
            "figure": self.figure,
            "threshold": self.threshold,
            "unit": self.unit,
            "holds": self.holds,
            "status": self.status,
            "num_not_judged": self.num_not_judged,
            "num_labels": self.num_labels,
            "judged_by": self.judged_by,
            "details": self.details,
            "worst": [violation.as_json() for violation in self.worst],
        }


@dataclass(frozen=True, kw_only=True)
class Report:
    """The results of all gates over a set. `languages`: the number of lines by language code."""

    num_labels: int
    num_described: int
    num_lines: int
    results: tuple[GateResult, ...]
    languages: Mapping[str, int] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether no gate fails. Gates that are not measured or not judged do not fail: `status` tells them apart."""
        return all(result.holds is not False for result in self.results)

    @property
    def status(self) -> Literal["holds", "fails", "not_judged"]:
        """`not_judged`: no gate fails, but a gate cannot judge the language of the lines."""
        if not self.holds:
            return "fails"
        return "not_judged" if any(result.status == "not_judged" for result in self.results) else "holds"

    def __getitem__(self, gate: Gate) -> GateResult:
        return next(result for result in self.results if result.gate == gate)

    def as_json(self) -> ReportJSON:
        """The report as JSON, as in files and API responses."""
        return {
            "num_labels": self.num_labels,
            "num_described": self.num_described,
            "num_lines": self.num_lines,
            "holds": self.holds,
            "status": self.status,
            "languages": dict(self.languages),
            "gates": [result.as_json() for result in self.results],
        }
