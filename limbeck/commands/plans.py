"""Checks before anything is stored: the destination folder, and what `--dry-run` prints."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from limbeck.commands.common import BadInput
from limbeck.commands.estimates import estimate_table, estimate_text
from limbeck.commands.image_options import counts_text
from limbeck.commands.quantities import size_text
from limbeck.shared.text import counted, time_text

if TYPE_CHECKING:
    from rich.console import Console

    from limbeck.models.plans import JobCheck, Plan, PlannedTraining

MIN_FREE_BYTES = 500 * 10**6


def check_out(out: Path) -> None:
    """Refuse a destination folder with other files, without write access, or on a full disk. Raises BadInput."""
    existing = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    if existing == out.absolute():
        if not out.is_dir():
            raise BadInput(f"--out {out} is a file: give a folder")
        if any(out.iterdir()) and not holds_bundle(out) and not any(out.rglob("*.part")):
            raise BadInput(f"--out {out} holds other files: give a new folder, or move them away")
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise BadInput(f"--out {out}: {existing} cannot be written: give another folder")
    free = shutil.disk_usage(existing).free
    if free < MIN_FREE_BYTES:
        raise BadInput(f"--out {out}: {free / 1e6:,.0f} MB are free: free space, or give a folder on another disk")


def holds_bundle(folder: Path) -> bool:
    """Whether a folder holds a complete download."""
    return (folder / "manifest.json").is_file()


def print_plan(plan: "Plan", console: "Console") -> None:
    """What a whole job would do."""
    if plan.vocabulary is not None:
        text = f"{counted(plan.vocabulary.num_labels, 'label')}{_reused(plan.vocabulary.same_id)}"
        console.print(text, highlight=False, markup=False)
    if plan.dataset is not None:
        text = f"{counts_text(plan.dataset.counts)}{_reused(plan.dataset.same_id)}"
        console.print(text, highlight=False, markup=False)
        for warning in plan.dataset.warnings:
            console.print(f"warning: {warning}", highlight=False, markup=False)
    for job in plan.jobs:
        print_job_check(job, console)


def print_job_check(job: "JobCheck", console: "Console") -> None:
    """What a job would do: its estimate, or the settings in effect."""
    console.print(f"{job.kind} job{_reused(job.same_job_id)}", highlight=False, markup=False, style="bold")
    if job.estimate is not None:
        console.print(estimate_table(job.estimate))
        console.print(estimate_text(job.estimate, None, None), highlight=False, markup=False)
    if job.training is not None:
        for line in training_lines(job.training):
            console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
    for line in _settings_lines(job.spec):
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)


def training_lines(training: "PlannedTraining") -> Iterator[str]:
    """What a training will do, and why its settings have their values."""
    if training.steps_s is None and "time_budget_s" in training.settings:
        yield "the worker fits epochs, steps and teacher views to the time budget; without that it would make"
    yield (
        f"{counted(training.total_steps, 'step')} of {counted(training.batch_size, 'image')}, "
        f"{training.steps_per_epoch:,} per epoch; "
        f"the student sees {counted(training.images_seen, 'image')}, and {training.measured:,} are measured"
    )
    yield _teacher_line(training)
    features = "" if training.feature_bytes is None else f", the teacher's features {size_text(training.feature_bytes)}"
    yield f"decoded images take {training.decoded_bytes / 1e9:,.2f} GB on the worker{features}"
    if training.steps_s is not None:
        yield _time_line(training, training.steps_s)
    by_origin: dict[str, list[str]] = {}
    for name, origin in training.origins.items():
        known = f"={_value(training.settings[name])}" if name in training.settings else ""
        by_origin.setdefault(origin, []).append(f"{name}{known}")
    for origin, names in by_origin.items():
        yield f"{origin}: {', '.join(names)}"
    unknown = (
        "" if training.steps_s is not None else "; the time is known after the first steps: limbeck jobs JOB shows it"
    )
    yield f"other settings have their defaults{unknown}"


def _teacher_line(training: "PlannedTraining") -> str:
    """The forward passes of the teacher: for views of the training, and for the evaluation of student and teacher."""
    if not training.teacher_cached and not training.teacher_live:
        return "the teacher encodes no image"
    once = [counted(training.teacher_cached, "view")] if training.teacher_cached else []
    once += [f"the {training.measured:,} measured images"] if training.measured else []
    parts = [f"{' and '.join(once)} once (less if cached)"] if once else []
    parts += [f"{counted(training.teacher_live, 'view')} for one step each"] if training.teacher_live else []
    return f"the teacher encodes {', and '.join(parts)}"


def _time_line(training: "PlannedTraining", steps_s: float) -> str:
    """The time of views and steps, as measured on the machine of the service."""
    steps = f"{time_text(steps_s)} for the steps"
    if training.teacher_cached and training.views_s is None:
        return f"about {steps}; the time of the views is not known, because the teacher's weights are not here yet"
    if not training.views_s:
        return f"about {steps}, measured on this machine"
    views = f"{time_text(training.views_s)} for the views (less if cached)"
    total = time_text(training.views_s + steps_s)
    return f"about {total}: {views} and {steps}, measured on this machine, without reading the images and evaluating"


def _reused(same_id: str | None) -> str:
    return f" (exists: {same_id})" if same_id else ""


def _settings_lines(spec: Mapping[str, object]) -> Iterator[str]:
    """The spec of a job without ids that do not exist yet; the config with one line per section."""
    config = spec.get("config")
    shown = ("teacher", "text", "recipe", "model", "strategies", "prompt", "subject", "shots")
    given = {name: spec[name] for name in shown if spec.get(name)}
    if given:
        yield ", ".join(f"{name} {_value(value)}" for name, value in given.items())
    if isinstance(config, Mapping):
        for section, fields in config.items():
            if isinstance(fields, Mapping):
                yield f"{section}: " + ", ".join(f"{name}={_value(value)}" for name, value in fields.items())


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
