"""What a distill job needs of this machine, checked before its first LLM call: a student that can be built, and space.

The student is built in a child process, because the API loads no torch. Where torch is not installed, and for a service
whose workers run elsewhere, the worker finds out.
"""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from api.http.problems import ProblemError, unprocessable
from api.jobs.job_plan import JobPlan
from api.jobs.training_config import ARCHITECTURE, WEIGHTS, pointer_of
from distill.config.automatic import with_chosen
from distill.config.model_names import check_student, read_catalog
from distill.config.time_budget import Rates, TimeBudgetTooShort
from distill.config.train_config import StudentConfig
from distill.config.training_estimate import TrainingEstimate, estimate_training
from distill.data.atomic_files import write_bytes
from store.artefacts import Artefacts
from store.jobs.specs import DistillSpec
from store.settings import Settings

TRIAL_TIMEOUT_S = 120.0
SMALL_FILES_BYTES = 16 * 2**20
# The training state has weights, their average and two moments of the optimizer, and exists twice while it is replaced;
# the bundle has the weights twice.
COPIES_OF_WEIGHTS = 2 * 4 + 2


class StudentTrial(BaseModel):
    """Result of `distill.student.trial`."""

    error: str = ""
    num_bytes: int = 0


def check_machine(planned: JobPlan, settings: Settings) -> None:
    """Raise ProblemError if a distill job cannot run on this machine, as far as is known here."""
    spec = planned.spec
    if not isinstance(spec, DistillSpec):
        return
    trial = try_student(spec.config.student, settings)
    if trial is not None and trial.error:
        fields = (WEIGHTS, ("student", "model_args"), ARCHITECTURE)
        pointer = pointer_of(planned.given_config, *fields, otherwise="/config/student")
        raise unprocessable("student_unbuildable", trial.error, pointer)
    if not settings.distributed:
        check_disk(settings, num_bytes=COPIES_OF_WEIGHTS * (trial.num_bytes if trial else 0) + SMALL_FILES_BYTES)


def try_student(config: StudentConfig, settings: Settings) -> StudentTrial | None:
    """Build the student in a child process; the result is cached. None where it cannot be tried.

    A student of the Hub is left to the worker, which downloads its config.
    """
    if check_student(config.architecture).architecture is None or importlib.util.find_spec("torch") is None:
        return None
    tried = json.dumps([config.model_dump(mode="json"), read_catalog()["versions"]], sort_keys=True)
    cached = settings.cache / "student_trials" / f"{hashlib.sha256(tried.encode()).hexdigest()}.json"
    try:
        return StudentTrial.model_validate_json(cached.read_bytes())
    except (OSError, ValidationError):
        trial = _run(config, settings.data)
    if trial is not None and config.weights is None:
        cached.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(cached, trial.model_dump_json().encode())
    return trial


def _run(config: StudentConfig, data_root: Path) -> StudentTrial | None:
    command = [sys.executable, "-m", "distill.student.trial", config.model_dump_json(), str(data_root)]
    try:
        ran = subprocess.run(command, capture_output=True, timeout=TRIAL_TIMEOUT_S, check=True)
        return StudentTrial.model_validate_json(ran.stdout.splitlines()[-1])
    except (subprocess.SubprocessError, OSError, ValidationError, IndexError):
        return None


class TrainingTrial(BaseModel):
    """Result of `distill.fitting.trial`. `chosen`: the settings that a worker here would choose, by short name."""

    error: str = ""
    view_s: float | None = None
    step_s: float = 0.0
    width: int | None = None
    chosen: dict[str, Any] = {}


def measured(planned: JobPlan, settings: Settings) -> TrainingEstimate | None:
    """What a training will do, with the times of this machine, where it runs; else as it was planned.

    A child process makes some steps, and encodes some views if the teacher's weights are here. Raises ProblemError for
    a time budget that is too short.
    """
    spec, training = planned.spec, planned.training
    if not isinstance(spec, DistillSpec) or training is None or settings.distributed:
        return training
    architecture = check_student(spec.config.student.architecture).architecture
    if importlib.util.find_spec("torch") is None or architecture is None:
        return training
    trial = _measure(spec, settings.data, training.batch_size)
    if trial is None or trial.error:
        return training
    ranks, views_known = spec.nproc * spec.nnodes, trial.view_s is not None or spec.config.data.protocol == "closed_set"
    config = with_chosen(spec.config, trial.chosen)
    rates = Rates(decode_s=0.0, view_s=trial.view_s or 0.0, step_s=trial.step_s)
    if not views_known and config.schedule.time_budget_s is not None:
        return training
    try:
        found = estimate_training(config, spec.recipe, planned.counts, ranks, rates=rates, width=trial.width)
    except TimeBudgetTooShort as error:
        pointer = pointer_of(planned.given_config, ("schedule", "time_budget_s"))
        raise unprocessable("time_budget_too_short", str(error), pointer) from None
    return found if views_known else replace(found, views_s=None)


def _measure(spec: DistillSpec, data_root: Path, step_images: int) -> TrainingTrial | None:
    command = [sys.executable, "-m", "distill.fitting.trial", spec.config.model_dump_json(), spec.teacher]
    command += [str(data_root), str(spec.nproc * spec.nnodes), str(step_images)]
    # A dry run downloads no weights of a teacher.
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""}
    try:
        ran = subprocess.run(command, capture_output=True, timeout=TRIAL_TIMEOUT_S, check=True, env=environment)
        return TrainingTrial.model_validate_json(ran.stdout.splitlines()[-1])
    except (subprocess.SubprocessError, OSError, ValidationError, IndexError):
        return None


def check_disk(settings: Settings, *, num_bytes: int) -> None:
    """Raise ProblemError if a disk that the service writes to has less than `num_bytes` free."""
    artefacts = Artefacts(settings.artefacts).local_path("checkpoints")
    for name, folder in (("cache", settings.cache), ("artefacts", artefacts)):
        if folder is None:  # a remote store
            continue
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(existing).free
        if free < num_bytes:
            detail = (
                f"the disk of the service's {name} has {free / 1e6:,.0f} MB free, but the training state and the "
                f"bundle need {num_bytes / 1e6:,.0f} MB: its operator must free space"
            )
            raise ProblemError(507, "disk_full", detail)
