"""The report of the demo: `report.json`, and `report.html`, which is self-contained.

The templates escape texts from labels, from the LLM and from file names.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypedDict

from markupsafe import Markup

from distill.json_types import EvaluatedPart, LabelSetJSON
from examples.demo.charts import Pair, Series, line_chart, pair_chart, smoothed
from examples.demo.rendering import TEMPLATES

Text = Literal["names", "enriched"]
PARTS: dict[EvaluatedPart, str] = {"id": "seen", "ood": "unseen"}
_SMOOTHING_WINDOW = 25


class RunJSON(TypedDict):
    """A row of the table in `report.json`; accuracies are fractions."""

    run: str
    text: Text
    id_accuracy: float
    ood_accuracy: float
    labels_id: int
    labels_ood: int


@dataclass(frozen=True, kw_only=True)
class MeasuredRun:
    """One row of the table: the evaluated model, its texts and the result of `distill.evaluation.accuracy`."""

    run: str
    who: Literal["teacher", "student"]
    text: Text
    evaluation: Mapping[EvaluatedPart, LabelSetJSON]

    def as_json(self) -> RunJSON:
        """The row for `report.json`; accuracies as fractions."""
        seen, unseen = self.evaluation["id"], self.evaluation["ood"]
        return {
            "run": self.run,
            "text": self.text,
            "id_accuracy": seen["accuracy"],
            "ood_accuracy": unseen["accuracy"],
            "labels_id": seen["num_labels"],
            "labels_ood": unseen["num_labels"],
        }


@dataclass(frozen=True, kw_only=True)
class SampleImage:
    """An image of an unseen label and the prediction of each student: (label, score in 0..1)."""

    image: Path
    label: str
    names: tuple[str, float]
    enriched: tuple[str, float]


@dataclass(frozen=True, kw_only=True)
class DescribedLabel:
    """The attributes of a label from the LLM."""

    label: str
    sentence: str
    phrases: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Results:
    """The content of the report. `curves`: text → (step, loss). `facts`: (name, value) about the run."""

    runs: Sequence[MeasuredRun]
    checkpoint: str
    seconds: float
    curves: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    described: Sequence[DescribedLabel] = ()
    samples: Sequence[SampleImage] = ()
    facts: Sequence[tuple[str, str]] = ()

    def run(self, who: str, text: str) -> MeasuredRun:
        """The row of a teacher or a student with these texts."""
        return next(run for run in self.runs if (run.who, run.text) == (who, text))


def read_curve(training_log: Path) -> list[tuple[float, float]]:
    """(step, loss) of a bundle's `training.jsonl`."""
    entries = [json.loads(line) for line in training_log.read_text(encoding="utf-8").splitlines() if line]
    return [(float(entry["step"]), float(entry["loss"])) for entry in entries if "step" in entry and "loss" in entry]


def write_json(results: Results, path: Path) -> None:
    """Write `report.json`."""
    report = {
        "teacher": [run.as_json() for run in results.runs if run.who == "teacher"],
        "students": [run.as_json() for run in results.runs if run.who == "student"],
        "checkpoint": results.checkpoint,
        "seconds": round(results.seconds, 1),
    }
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def write_html(results: Results, path: Path) -> None:
    """Write `report.html`."""
    names, enriched = results.run("student", "names"), results.run("student", "enriched")
    curves = [
        Series(f"student, {text}", text, smoothed(results.curves.get(text, []), window=_SMOOTHING_WINDOW))
        for text in ("names", "enriched")
    ]
    page = TEMPLATES.get_template("report.html.jinja").render(
        results=results,
        parts=PARTS,
        first=results.runs[0].evaluation,
        names_accuracy=names.evaluation["ood"]["accuracy"],
        unseen=enriched.evaluation["ood"],
        curves=line_chart(curves, x_label="step", y_label="training loss"),
        unseen_chart=_pairs(names, enriched, "ood"),
        seen_chart=_pairs(names, enriched, "id"),
    )
    path.write_text(page, encoding="utf-8")


def _pairs(names: MeasuredRun, enriched: MeasuredRun, part: EvaluatedPart) -> Markup:
    before, after = names.evaluation[part]["per_label"], enriched.evaluation[part]["per_label"]
    pairs = [Pair(label, before.get(label, 0.0), accuracy) for label, accuracy in after.items()]
    return pair_chart(pairs, chance=names.evaluation[part]["chance"], before="names", after="enriched")
