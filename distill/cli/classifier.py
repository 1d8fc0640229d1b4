"""The classifier of a closed-set run in a folder: `student.safetensors` and the names of its outputs, `labels.json`.

It is the baseline of corruption errors (`python -m distill evaluate --baseline`).
"""

import json
from collections.abc import Sequence
from pathlib import Path

from distill.config.train_config import StudentConfig
from distill.data.atomic_files import write_bytes
from distill.evaluation.further import Baseline
from distill.student.model import Student
from distill.student.saved_student import load_student, save_student

CLASSIFIER = "classifier"
LABELS = "labels.json"
_WEIGHTS = "student.safetensors"


def save_classifier(folder: Path, student: Student, labels: Sequence[str]) -> None:
    """Write the classifier; `labels` are the names of its outputs, in order."""
    folder.mkdir(parents=True, exist_ok=True)
    save_student(student, folder / _WEIGHTS)
    write_bytes(folder / LABELS, (json.dumps(list(labels), indent=1, ensure_ascii=False) + "\n").encode())


def load_classifier(folder: Path) -> Baseline:
    """The classifier that `save_classifier` wrote. Raises ValueError, naming the folder."""
    try:
        labels = tuple(map(str, json.loads((folder / LABELS).read_text(encoding="utf-8"))))
        student = load_student(folder / _WEIGHTS, StudentConfig(), width=len(labels), seed=0)
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder} holds no classifier of a closed-set run: {error}") from None
    return Baseline(student=student, labels=labels)
