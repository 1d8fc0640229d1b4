"""Trains and measures one arm with one seed, and stores the record under a key of everything that determines it.

A finished arm is found by its key and not repeated; an interrupted one resumes from its training state. The key covers
the config, the texts, the field guide, the measured groups, and a digest of the code that affects the numbers (without
comments and docstrings).
"""

import ast
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TypedDict

import torch
from safetensors.torch import load_file, save_file

from benchmarks.evidence.arms import ARMS, TrainingArm
from benchmarks.evidence.world import World
from benchmarks.load import machine
from distill.bundle.verify import file_sha256
from distill.config.train_config import TrainConfig
from distill.data.atomic_files import replacing, write_bytes
from distill.data.image_index import ImageIndex
from distill.evaluation.accuracy import Evaluation, last_epochs
from distill.evaluation.epochs import measure_epochs
from distill.hooks import PipelineHooks
from distill.json_types import EvaluationJSON, JSONValue
from distill.pipeline import MeasureOptions, measure_student, training_data
from distill.student.init_from_bundle import InitialStudent
from distill.texts.student_texts import evaluation_inputs
from distill.texts.text_bank import needs_phrases
from distill.training.hooks import TrainHooks, WriteState
from distill.training.loop import TrainResult, train

ROOT = Path(__file__).resolve().parents[2]
DISTILL = ROOT / "distill"
# These show, store or start a run, and do not affect its numbers.
EXCLUDED_MODULES = {"__main__", "benefit", "bundle", "cli", "model_names", "loggers"}
_OWN_NAMES = ("run.py", "world.py", "beetle_world.py", "two_teachers.py")
OWN_FILES = tuple(Path(__file__).resolve().with_name(name) for name in _OWN_NAMES)
SAVE_EVERY_S = 20.0
NO_HOOKS = TrainHooks()


class ArmRecord(TypedDict):
    """The stored result of an arm with a seed. `groups`: evaluations as JSON by group of unseen species. `epochs`:
    accuracy on the unseen species of the last group after each measured epoch."""

    arm: str
    seed: int
    key: str
    text: str
    pictures: int
    config: dict[str, JSONValue]
    groups: dict[str, EvaluationJSON]
    epochs: list[float | None]
    train_seconds: float
    seconds: float
    steps: int
    machine: str


@dataclass(frozen=True, eq=False)
class _ArmRun:
    """An arm with a seed, and its inputs. The last of `image_indexes` is measured after every epoch."""

    arm: TrainingArm
    config: TrainConfig
    world: World
    image_indexes: Mapping[str, ImageIndex]
    hooks: PipelineHooks


def record_key(arm: TrainingArm, seed: int, world: World, groups: Sequence[str]) -> str:
    """Digest of everything that determines the record; the name of its file."""
    content = {
        "starts_from": record_key(ARMS[arm.starts_from], seed, world, groups) if arm.starts_from else None,
        "config": arm.config(seed).identity(),
        "text": arm.text,
        "pictures": arm.num_images,
        "pool": arm.num_pool,
        "captions": file_sha256(world.captions) if arm.has_captions else None,
        "world": world.digest,
        "groups": sorted(groups),
        "code": code_digest(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


@cache
def code_digest() -> str:
    """Digest of the code that affects the numbers, in `distill/` and here, without comments and docstrings."""
    digest = hashlib.sha256(torch.__version__.encode())
    for path in [*sorted(DISTILL.rglob("*.py")), *OWN_FILES]:
        if EXCLUDED_MODULES.isdisjoint((*path.relative_to(ROOT).parts[:-1], path.stem)):
            digest.update(f"{path.name}\n{_without_docstrings(path.read_text(encoding='utf-8'))}\n".encode())
    return digest.hexdigest()


def _without_docstrings(source: str) -> str:
    """Normalised source code without comments and docstrings."""
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
    hooks: TrainHooks = NO_HOOKS,
) -> ArmRecord:
    """The record of an arm, from the folder `results` or from a new run. The last group is measured after every epoch.

    `hooks`: `on_step` and `should_stop`. Raises Stopped when `should_stop()` is true; the training state is saved.
    """
    world = world.for_arm(arm)
    key = record_key(arm, seed, world, groups)
    file = results / f"{key}.json"
    if file.exists():
        stored: ArmRecord = json.loads(file.read_text(encoding="utf-8"))
        return stored
    initial_student = _initial_student(arm, seed, world, groups, results, hooks) if arm.starts_from else None
    start, config = time.monotonic(), arm.config(seed)
    # Few-shot images belong to the unseen labels of one group: such a student is measured on this group only.
    groups = groups[-1:] if config.data.protocol == "fine_tune" else groups
    state = results / "unfinished" / f"{key}.safetensors"
    image_indexes = {group: world.image_index(group, arm.num_images, arm.num_pool) for group in groups}
    run = _ArmRun(arm, config, world, image_indexes, PipelineHooks(should_stop=hooks.should_stop))
    trained = _train(run, state, initial_student, hooks)
    evaluations = _measure(run, trained)
    record = ArmRecord(
        arm=arm.name,
        seed=seed,
        key=key,
        text=arm.text,
        pictures=arm.num_images,
        config=config.flat(),
        groups={group: evaluation.as_json() for group, evaluation in evaluations.items()},
        epochs=[line["accuracy"]["ood"] for line in trained.log if "accuracy" in line],
        train_seconds=round(trained.seconds, 1),
        seconds=round(time.monotonic() - start, 1),
        steps=trained.steps,
        machine=machine(),
    )
    if any(other.starts_from == arm.name for other in ARMS.values()):
        with replacing(_student_file(results, key)) as draft:
            save_file({name: value.contiguous() for name, value in trained.student.model.state_dict().items()}, draft)
    write_bytes(file, (json.dumps(record, indent=1) + "\n").encode())
    state.unlink(missing_ok=True)
    return record


def _train(run: _ArmRun, state: Path, initial_student: InitialStudent | None, hooks: TrainHooks) -> TrainResult:
    """Train the student, from the saved training state if there is one."""
    world, index = run.world, list(run.image_indexes.values())[-1]
    targets = world.targets(run.arm.text)
    data = training_data(
        run.config,
        index,
        world.teacher,
        targets,
        cache=world.cache,
        captions=world.captions if run.arm.has_captions else None,
        phrases=world.phrases if needs_phrases(run.config) else None,
        hooks=run.hooks,
    )
    on_epoch = measure_epochs(
        run.config, index, world.teacher, targets, run.arm.text, cache=world.cache, hooks=run.hooks
    )
    return train(
        run.config,
        data,
        initial_student=initial_student,
        resume=state if state.exists() else None,
        hooks=replace(hooks, on_epoch=on_epoch, save=_periodic_save(state, hooks.should_stop)),
    )


def _periodic_save(state: Path, should_stop: Callable[[], bool]) -> Callable[[WriteState], None]:
    """A `save` hook that writes the state at most every `SAVE_EVERY_S` seconds, and when the run is stopped."""
    saved_at = time.monotonic()

    def save(write_state: WriteState) -> None:
        nonlocal saved_at
        if time.monotonic() - saved_at > SAVE_EVERY_S or should_stop():
            write_state(state)
            saved_at = time.monotonic()

    return save


def _measure(run: _ArmRun, trained: TrainResult) -> dict[str, Evaluation]:
    """The student's evaluation on each group; that of the last group includes the mean over the last epochs."""
    config, world = run.config, run.world
    options = MeasureOptions(
        temperature=config.objective.temperature,
        shots=config.data.shots,
        retrieve=config.data.protocol == "retrieval",
        device=config.system.device,
    )
    evaluations = {}
    for group, image_index in run.image_indexes.items():
        evaluated, targets = evaluation_inputs(
            config, image_index, world.teacher, world.targets(run.arm.text), trained.context
        )
        evaluations[group] = measure_student(
            trained.student,
            evaluated,
            targets,
            run.arm.text,
            options,
            cache=world.cache,
            teacher=None if config.data.protocol == "closed_set" else world.teacher,
            hooks=run.hooks,
        )
    last_group = list(run.image_indexes)[-1]
    over_epochs = last_epochs(trained.log, config.evaluation.measured_epochs)
    evaluations[last_group] = replace(evaluations[last_group], last_epochs=over_epochs)
    return evaluations


def _initial_student(
    arm: TrainingArm, seed: int, world: World, groups: Sequence[str], results: Path, hooks: TrainHooks
) -> InitialStudent:
    """The student of the arm that this arm starts from; trains it if it does not exist yet."""
    first_arm = ARMS[str(arm.starts_from)]
    run_arm(first_arm, seed, world, groups, results, hooks=hooks)
    file = _student_file(results, record_key(first_arm, seed, world, groups))
    return InitialStudent(weights=load_file(file), context=None, digest=file_sha256(file))


def _student_file(results: Path, key: str) -> Path:
    return results / "students" / f"{key}.safetensors"
