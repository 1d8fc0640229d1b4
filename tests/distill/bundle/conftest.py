"""Fixtures that write a bundle."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distill.bundle.student_files import StudentWeights
from distill.bundle.write import BundleFile, write_bundle
from distill.teacher.teacher import Teacher
from distill.texts.text_targets import encode_text_targets
from distill.texts.text_templates import LabelAttributes, render
from tests.distill.bundle.bundles import EVALUATION, LABELS, PROVENANCE, student_weights


@pytest.fixture(scope="session")
def training_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lines = [{"step": n, "loss": 3 / n, "losses": {"cls": 2 / n, "mse": 1 / n}} for n in range(1, 20)]
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="session")
def write(training_log: Path, tiny_teacher: Teacher) -> Callable[..., Any]:
    """`write(out, student, **changes)`: a bundle of the tiny teacher and two labels."""

    def write(out: Path, student: StudentWeights, **changes: Any) -> Any:
        teacher = changes.pop("teacher", tiny_teacher)
        prompts = [render("sentence", str(entry["label"]), LabelAttributes(str(entry["sentence"]))) for entry in LABELS]
        given = {
            "teacher": teacher,
            "targets": encode_text_targets(teacher, prompts, cache=None),
            "labels": LABELS,
            "evaluation": EVALUATION,
            "training_log": training_log,
            "provenance": PROVENANCE,
        }
        return write_bundle(out, student=student, **{**given, **changes})

    return write


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory, write: Callable[..., Any]) -> tuple[Path, list[BundleFile]]:
    """A bundle, and the files that `write_bundle` returned."""
    out = tmp_path_factory.mktemp("written") / "bundle"
    return out, write(out, student_weights("resnet10t", 64)).files
