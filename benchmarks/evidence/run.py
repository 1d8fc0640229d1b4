"""One arm with one seed: trained, measured, and written down under a key of everything that its figures depend on.

A finished arm is found by its key and not run again; one that was killed goes on from its last state. The key holds the
whole config, the texts, the world, the groups measured, and a digest of the code that makes numbers, comments and
docstrings aside.
"""

import ast
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from benchmarks.evidence.arms import ARMS, TrainingArm
from benchmarks.evidence.world import World
from benchmarks.load import machine
from distill.bundle.verify import file_sha256
from distill.data.atomic_files import replacing, write_bytes
from distill.evaluation.accuracy import last_epochs
from distill.hooks import PipelineHooks
from distill.pipeline import MeasureOptions, measure_epochs, measure_student, training_data
from distill.student.init_from_bundle import InitialStudent
from distill.texts.student_texts import evaluation_inputs
from distill.training.hooks import TrainHooks
from distill.training.loop import train
from distill.training.metrics import StepMetrics

ROOT = Path(__file__).resolve().parents[2]
DISTILL = ROOT / "distill"
# They show, store or ask for a run, and make no number of it.
NO_NUMBERS = {"__main__", "benefit", "bundle", "cli", "model_names", "tensorboard"}
HERE = Path(__file__).resolve(), Path(__file__).resolve().with_name("world.py")
SAVE_EVERY_S = 20.0

Result = dict[str, Any]


def key(arm: TrainingArm, seed: int, world: World, groups: Sequence[str]) -> str:
    """The name of the result's file, and all that it stands for."""
    said = {
        "starts_from": key(ARMS[arm.starts_from], seed, world, groups) if arm.starts_from else None,
        "config": arm.config(seed).identity(),
        "text": arm.text,
        "pictures": arm.pictures,
        "captions": file_sha256(world.captions) if arm.captions else None,
        "world": world.digest,
        "groups": sorted(groups),
        "code": code_digest(),
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


@cache
def code_digest() -> str:
    """Of the code that makes numbers, below `distill/` and here, less its comments and docstrings."""
    digest = hashlib.sha256(torch.__version__.encode())
    for path in [*sorted(DISTILL.rglob("*.py")), *HERE]:
        if NO_NUMBERS.isdisjoint((*path.relative_to(ROOT).parts[:-1], path.stem)):
            digest.update(f"{path.name}\n{_bare(path.read_text(encoding='utf-8'))}\n".encode())
    return digest.hexdigest()


def _bare(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def run_arm(
    arm: TrainingArm,
    seed: int,
    world: World,
    groups: Sequence[str],
    results: Path,
    *,
    on_step: Callable[[StepMetrics], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Result:
    """The result of an arm, found or made. The last of `groups` is the one that epochs are measured on.

    Raises Stopped once `should_stop()` is true, its state kept.
    """
    name = key(arm, seed, world, groups)
    file = results / f"{name}.json"
    if file.exists():
        found: Result = json.loads(file.read_text(encoding="utf-8"))
        return found
    begun = _start(arm, seed, world, groups, results, on_step, should_stop) if arm.starts_from else None
    started, config = time.monotonic(), arm.config(seed)
    # Few shots are pictures of unseen labels: such a student is one group's, and measured on no other.
    groups = groups[-1:] if config.data.protocol == "fine_tune" else groups
    state = results / "unfinished" / f"{name}.safetensors"
    targets, image_indexes = (
        world.targets(arm.text),
        {group: world.image_index(group, arm.pictures) for group in groups},
    )
    teacher, last = world.teacher, image_indexes[groups[-1]]
    hooks = PipelineHooks(should_stop=should_stop)
    captions = world.captions if arm.captions else None
    data = training_data(config, last, teacher, targets, cache=world.cache, captions=captions, hooks=hooks)
    on_epoch = measure_epochs(config, last, teacher, targets, arm.text, cache=world.cache, hooks=hooks)
    saved_at = time.monotonic()

    def save(write: Callable[[Path], None]) -> None:
        nonlocal saved_at
        if time.monotonic() - saved_at > SAVE_EVERY_S or (should_stop is not None and should_stop()):
            write(state)
            saved_at = time.monotonic()

    trained = train(
        config,
        data,
        initial_student=begun,
        resume=state if state.exists() else None,
        hooks=TrainHooks(
            on_step=on_step or (lambda _metrics: None),
            on_epoch=on_epoch,
            should_stop=hooks.stop_requested,
            save=save,
        ),
    )
    found = {}
    for group, image_index in image_indexes.items():
        asked, heard = evaluation_inputs(config, image_index, teacher, targets, trained.context)
        found[group] = measure_student(
            trained.student,
            asked,
            heard,
            arm.text,
            MeasureOptions(
                temperature=config.objective.temperature,
                shots=config.data.shots,
                retrieve=config.data.protocol == "retrieval",
                device=config.system.device,
            ),
            cache=world.cache,
            teacher=None if config.data.protocol == "closed_set" else teacher,
            hooks=hooks,
        )
    over_epochs = last_epochs(trained.log, config.evaluation.measured_epochs)
    result = {
        "arm": arm.name,
        "seed": seed,
        "key": name,
        "text": arm.text,
        "pictures": arm.pictures,
        "config": config.flat(),
        "groups": {
            group: replace(one, last_epochs=over_epochs if group == groups[-1] else None).as_json()
            for group, one in found.items()
        },
        "train_seconds": round(trained.seconds, 1),
        "seconds": round(time.monotonic() - started, 1),
        "steps": trained.steps,
        "machine": machine(),
    }
    if any(other.starts_from == arm.name for other in ARMS.values()):
        with replacing(_student_file(results, name)) as draft:
            save_file({key: value.contiguous() for key, value in trained.student.model.state_dict().items()}, draft)
    write_bytes(file, (json.dumps(result, indent=1) + "\n").encode())
    state.unlink(missing_ok=True)
    return result


def _start(
    arm: TrainingArm,
    seed: int,
    world: World,
    groups: Sequence[str],
    results: Path,
    on_step: Callable[[StepMetrics], None] | None,
    should_stop: Callable[[], bool] | None,
) -> InitialStudent:
    """The student of the arm that this one goes on with, trained where it is not there yet."""
    before = ARMS[str(arm.starts_from)]
    run_arm(before, seed, world, groups, results, on_step=on_step, should_stop=should_stop)
    file = _student_file(results, key(before, seed, world, groups))
    return InitialStudent(weights=load_file(file), context=None, digest=file_sha256(file))


def _student_file(results: Path, name: str) -> Path:
    return results / "students" / f"{name}.safetensors"
