"""Figures of a student beside its teacher and baselines, and the accuracy of each label, from stored evaluations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from sqlalchemy.orm import Session

from api.pages.evaluations import is_multi_label, part_of
from distill.data.image_files.parquet_rows import SharedLRU
from store import resources
from store.jobs import evaluations, jobs
from store.models import Checkpoint

Figures = Mapping[str, Any]
"""The JSON of an evaluation (`distill.evaluation.accuracy.Evaluation`)."""
LabelPart = Literal["id", "ood"]
LABEL_PARTS: tuple[LabelPart, ...] = ("id", "ood")
_MAX_KEPT_LABELS = 500_000


@dataclass(frozen=True, kw_only=True)
class Contender:
    """Something that was evaluated on the images of a student: the student, its teacher, or a baseline."""

    name: str
    figures: Figures
    job_id: str = ""

    def accuracy(self, part: str) -> float | None:
        """Accuracy of `id` or `ood`; of `joint` the harmonic mean among all labels."""
        found = part_of(self.figures, part)
        value = None if found is None else found.get("harmonic_mean" if part == "joint" else "accuracy")
        return None if value is None else float(value)

    @property
    def is_multi_label(self) -> bool:
        """Whether the accuracies are average precisions, of images with several labels."""
        return is_multi_label(self.figures)

    def interval(self, part: str, over: Literal["images", "labels"] = "images") -> tuple[float, float] | None:
        """The 95% interval of `accuracy` over other images of the same labels, or over other labels."""
        found = part_of(self.figures, part) or {}
        bounds = (found.get("harmonic_intervals" if part == "joint" else "intervals") or {}).get(over)
        return (float(bounds[0]), float(bounds[1])) if bounds else None

    def per_label(self, part: LabelPart) -> Mapping[str, float]:
        """The accuracy of each label of a part that has images."""
        return (part_of(self.figures, part) or {}).get("per_label") or {}


@dataclass(frozen=True)
class LabelRow:
    """The accuracy of a label; `gain`: of the attributes over names, if both were measured."""

    label: str
    part: LabelPart
    accuracy: float
    num_images: int
    teacher: float | None
    gain: float | None


@dataclass(frozen=True, kw_only=True)
class StudentFigures:
    """What was evaluated on the dataset of a student. `labels`: those with images, worst first."""

    teacher_ref: str
    student: Contender
    teacher: Contender | None
    student_by_names: Contender | None
    teacher_by_names: Contender | None
    closed_set: Contender | None
    labels: Sequence[LabelRow]

    @property
    def shown(self) -> list[Contender]:
        """The student and those beside it that were evaluated."""
        all = (self.student, self.student_by_names, self.teacher, self.teacher_by_names, self.closed_set)
        return [one for one in all if one is not None]


def figures_of(tx: Session, row: Checkpoint) -> StudentFigures:
    """The figures of a student. Evaluations are large and never change: those that were read last are kept."""
    teacher = resources.teacher(tx, row.teacher_id).ref
    at, set_id, has_names = row.dataset_id, row.attribute_set_id, row.text != "names"
    found = {
        "teacher": evaluations.newest_of_teacher(
            tx, teacher, dataset_id=at, text=row.text, attribute_set_id=set_id if has_names else None
        ),
        "student_by_names": evaluations.newest_of_checkpoint(tx, row.id, dataset_id=at, text="names")
        if has_names
        else None,
        "teacher_by_names": evaluations.newest_of_teacher(tx, teacher, dataset_id=at, text="names")
        if has_names
        else None,
        "closed_set": evaluations.newest_closed_set(tx, at),
    }
    return _FIGURES.get((row.id, row.digest, row.created_at, *found.values()), lambda: _read(tx, row, teacher, found))


_FIGURES: SharedLRU[StudentFigures] = SharedLRU(_MAX_KEPT_LABELS, lambda figures: len(figures.labels) + 1)


def _read(tx: Session, row: Checkpoint, teacher: str, found: Mapping[str, str | None]) -> StudentFigures:
    def of_job(role: str, name: str) -> Contender | None:
        id = found[role]
        figures = (jobs.get(tx, id).result or {}).get("evaluation") if id else None
        return Contender(name=name, figures=figures, job_id=id or "") if isinstance(figures, Mapping) else None

    student = Contender(name="This student", figures=row.evaluation, job_id=row.job_id)
    # The evaluation of a student has that of its teacher on the same images; those of earlier releases have none.
    own = cast(Sequence[Figures], row.evaluation.get("teacher") or ())
    by_text = Contender(name=f"Teacher {teacher}", figures=own[0], job_id=row.job_id) if own else None
    beside = by_text or of_job("teacher", f"Teacher {teacher}")
    student_by_names = of_job("student_by_names", "This student by names alone")
    teacher_by_names = of_job("teacher_by_names", "Teacher by names alone")
    gain = (student, student_by_names) if student_by_names else (beside, teacher_by_names)
    return StudentFigures(
        teacher_ref=teacher,
        student=student,
        teacher=beside,
        student_by_names=student_by_names,
        teacher_by_names=teacher_by_names,
        closed_set=of_job("closed_set", "Closed-set baseline"),
        labels=_label_rows(student, beside, gain),
    )


def _label_rows(
    student: Contender, teacher: Contender | None, gain: tuple[Contender | None, Contender | None]
) -> Sequence[LabelRow]:
    rows: list[LabelRow] = []
    for part in LABEL_PARTS:
        num_images = (part_of(student.figures, part) or {}).get("images_per_label") or {}
        of_teacher = teacher.per_label(part) if teacher else {}
        by_text, by_names = (one.per_label(part) if one else {} for one in gain)
        for label, accuracy in student.per_label(part).items():
            both = label in by_text and label in by_names
            gained = by_text[label] - by_names[label] if both else None
            rows.append(LabelRow(label, part, accuracy, num_images.get(label, 0), of_teacher.get(label), gained))
    return sorted(rows, key=lambda row: (row.accuracy, row.teacher is None, -(row.teacher or 0), row.label))
