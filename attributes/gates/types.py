"""What a gate says: a figure, the threshold it is held to, and the labels that offend, line by line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Gate = Literal["length", "names", "comparatives", "nonvisual", "own", "shared", "verbatim", "twins", "margin"]

GATES: tuple[Gate, ...] = (
    "length",
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
    "names": "lines that name another label",
    "comparatives": "lines that compare",
    "nonvisual": "lines on what cannot be seen",
    "own": "labels with too few of their own",
    "shared": "attributes shared with other labels",
    "verbatim": "lines shared word for word",
    "twins": "labels with a near-twin",
    "margin": "labels nearer another than by name",
}


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """What a set is held to. Shares are of 1; `min_own` attributes; `twin` is the word Jaccard of near-twins."""

    nonvisual: float = 0.02
    shared: float = 0.15
    min_own: int = 2
    twin: float = 0.7


@dataclass(frozen=True, slots=True)
class LineViolation:
    """A line that offends: its id, its text, and the words (or what it is) that are the matter; and the key of the call
    that it came from, where no person has made it their own."""

    id: str
    text: str
    words: tuple[str, ...]
    call: str = ""


@dataclass(frozen=True, slots=True)
class Violation:
    """A label that a gate caught. `weight` orders offenders, worst first; `others` are the labels it runs into."""

    gate: Gate
    position: int
    label: str
    weight: float
    lines: tuple[LineViolation, ...] = ()
    others: tuple[str, ...] = ()
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """As reports and files give it."""
        return {
            "position": self.position,
            "label": self.label,
            "lines": [{"id": line.id, "text": line.text, "words": list(line.words)} for line in self.lines],
            "others": list(self.others),
            "note": self.note,
        }


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """A gate over a whole set. `figure` and `threshold` are shares where `unit` says "share", counts otherwise.

    `holds` is None where the gate could not be measured, for the reason in `judged_by`, which otherwise says what
    judged. `worst` are the first of `num_labels` offenders.
    """

    gate: Gate
    figure: float | None
    threshold: float
    unit: Literal["share", "labels", "lines"]
    holds: bool | None
    num_labels: int = 0
    judged_by: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    worst: Sequence[Violation] = ()

    def as_json(self) -> dict[str, Any]:
        """As reports give it."""
        return {
            "gate": self.gate,
            "tells": GATE_TITLES[self.gate],
            "figure": self.figure,
            "threshold": self.threshold,
            "unit": self.unit,
            "holds": self.holds,
            "num_labels": self.num_labels,
            "judged_by": self.judged_by,
            "details": self.details,
            "worst": [offence.as_json() for offence in self.worst],
        }


@dataclass(frozen=True, kw_only=True)
class Report:
    """All gates over a set."""

    num_labels: int
    num_described: int
    num_lines: int
    results: tuple[GateResult, ...]

    @property
    def holds(self) -> bool:
        """Whether every gate that was measured holds."""
        return all(result.holds is not False for result in self.results)

    def __getitem__(self, gate: Gate) -> GateResult:
        return next(result for result in self.results if result.gate == gate)

    def as_json(self) -> dict[str, Any]:
        """As files and the service give it."""
        return {
            "num_labels": self.num_labels,
            "num_described": self.num_described,
            "num_lines": self.num_lines,
            "holds": self.holds,
            "gates": [result.as_json() for result in self.results],
        }


def report_from_json(data: Mapping[str, Any]) -> Report:
    """The report as a service gives it; it names offenders by what they are, without their weights."""

    def result(given: Mapping[str, Any]) -> GateResult:
        gate: Gate = given["gate"]
        worst = [
            Violation(
                gate=gate,
                position=one["position"],
                label=one["label"],
                weight=0.0,
                lines=tuple(LineViolation(line["id"], line["text"], tuple(line["words"])) for line in one["lines"]),
                others=tuple(one["others"]),
                note=one["note"],
            )
            for one in given["worst"]
        ]
        kept = ("figure", "threshold", "unit", "holds", "num_labels", "judged_by", "details")
        return GateResult(gate=gate, worst=worst, **{name: given[name] for name in kept})

    counts = {name: data[name] for name in ("num_labels", "num_described", "num_lines")}
    return Report(results=tuple(map(result, data["gates"])), **counts)
