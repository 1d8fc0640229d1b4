"""A request carried out from beginning to end, and what it tells a person on the way; `python -m distill` is its door.

Everything is kept in `OUT/work`, so that a run that was broken off goes on; a finished one is not made again. Of
several processes that `torchrun` started, the first prepares, measures, bundles and speaks; the others train with it.
"""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from distill.bundle.write import StudentWeights, write_bundle
from distill.cli.arguments import RunArguments
from distill.cli.console import Console, duration
from distill.data.atomic_files import write_bytes
from distill.evaluation.accuracy import Evaluation, last_epochs
from distill.hooks import PipelineHooks
from distill.pipeline import measure_epochs, measure_student, measure_teacher, training_data
from distill.student.init_from_bundle import InitialStudent, read_initial_student
from distill.teacher.teacher import Teacher, load_teacher
from distill.texts.student_texts import evaluation_inputs
from distill.texts.text_targets import TextTargets, encode_text_targets
from distill.texts.text_templates import LabelAttributes, TextKind, render, uses_name_only
from distill.training.distributed import RankGroup, join_ranks
from distill.training.loader import TrainData
from distill.training.loop import OnEpoch, StepMetrics, TrainResult, WriteState, choose_device, train
from distill.training.tensorboard import EventLog

NAMES: TextKind = "names"


def run_distillation(request: RunArguments, *, should_stop: Callable[[], bool]) -> None:
    """Encode, train, measure and bundle, telling progress on standard error and the table on standard output.

    Raises ValueError where the folder holds another run, Stopped, and what the steps raise.
    """
    with join_ranks() as ranks, open(os.devnull, "w") as nowhere:
        console = Console(sys.stderr if ranks.is_first else nowhere)
        report_file = request.out / "report.json"
        with ranks.first_rank_first():
            _claim_folder(request)
            done = report_file.exists()
        if not done:
            report = _carry_out(request, ranks, console, should_stop)
            if report is not None:  # it comes last: where it is, everything is
                write_bytes(report_file, (json.dumps(report, indent=2) + "\n").encode())
            ranks.wait()
        if ranks.is_first:
            print(accuracy_table(json.loads(report_file.read_text(encoding="utf-8"))))
            if (request.out / "bundle").exists():
                print(f"bundle: {request.out / 'bundle'}")


def _claim_folder(request: RunArguments) -> None:
    said = request.out / "work" / "request.json"
    identity = json.loads(json.dumps(request.identity()))
    if said.exists():
        before = json.loads(said.read_text(encoding="utf-8"))
        differing = [name for name in identity if before.get(name) != identity[name]]
        if "config" in differing and isinstance(before.get("config"), dict):
            fields = sorted(k for k, v in identity["config"].items() if before["config"].get(k) != v)
            differing[differing.index("config")] = f"config ({', '.join(fields)})"
        if differing:
            raise ValueError(f"{request.out} holds a run with other {', '.join(differing)}: give --out another folder")
        return
    if request.out.exists() and any(request.out.iterdir()):
        raise ValueError(f"{request.out} is not empty and holds no run: give --out another folder")
    write_bytes(said, json.dumps(identity, indent=2).encode())


def _carry_out(
    request: RunArguments, ranks: RankGroup, console: Console, should_stop: Callable[[], bool]
) -> dict[str, Any] | None:
    """The report, on the first rank."""
    config, image_index, cache = request.config, request.image_index, request.cache
    counts = image_index.counts
    console.say(
        f"{len(image_index)} images: {counts['train']} to train on and {counts['held_out']} held out of "
        f"{counts['id_labels']} labels, {counts['ood']} of {counts['ood_labels']} labels never seen"
    )
    hooks = PipelineHooks(
        on_progress=console.progress,
        should_stop=should_stop,
        on_bad_image=lambda path, reason: console.say(f"left out {path}: {reason}"),
    )
    teacher = load_teacher(request.teacher, device=str(choose_device(config.system.device)))
    console.say(f"teacher {teacher.ref}: width {teacher.width}, {teacher.context_length} tokens")
    start = None if request.start is None else read_initial_student(request.start, config, teacher.digest)
    with ranks.first_rank_first():
        names, targets = (_targets(request, teacher, kind, console, hooks) for kind in (NAMES, request.text))
        console.begin("teacher features")
        data = training_data(config, image_index, teacher, targets, cache=cache, captions=request.captions, hooks=hooks)
    if data.captioned is not None:
        console.say(f"{int(data.captioned.sum())} of {len(data.captioned)} images have a caption")
    on_epoch = measure_epochs(config, image_index, teacher, targets, request.text, cache=cache, hooks=hooks)
    result = _train(request, data, start, console, on_epoch, should_stop)
    if not ranks.is_first:
        return None
    console.say(f"trained {result.steps} steps in {duration(result.seconds)}")
    console.begin("measuring the student")
    plain = config.data.protocol == "closed_set"
    asked, learned = evaluation_inputs(config, image_index, teacher, targets, result.context)
    measured = measure_student(
        result.student,
        asked,
        learned,
        request.text,
        temperature=config.objective.temperature,
        cache=cache,
        teacher=None if plain else teacher,
        shots=config.data.shots,
        retrieve=config.data.protocol == "retrieval",
        device=config.system.device,
        hooks=hooks,
    )
    student = replace(measured, last_epochs=last_epochs(result.log, config.evaluation.measured_epochs))
    console.begin("measuring the teacher")
    said = {NAMES: names, request.text: targets}
    baselines = [
        measure_teacher(teacher, image_index, own, kind, cache=cache, shots=config.data.shots, hooks=hooks)
        for kind, own in said.items()
    ]
    report = {
        "teacher": [{"run": teacher.ref, **evaluation.as_json()} for evaluation in baselines],
        "student": {"run": config.student.architecture, **student.as_json()},
        "seconds": result.seconds,
        "bad_images": {str(path): reason for path, reason in hooks.bad_images.items()},
    }
    # A plain classifier hears no words: it has nothing to be paired with, and is a baseline and no product.
    if not plain:
        digests = dict(data.digests) | ({} if start is None else {"start": start.digest})
        _bundle(request, teacher, learned, result, student, report, digests)
    return report


def _targets(
    request: RunArguments, teacher: Teacher, kind: TextKind, console: Console, hooks: PipelineHooks
) -> TextTargets:
    said = list(zip(request.labels, map(LabelAttributes.of_lines, request.lines), strict=True))
    bare = [label for label, own in said if uses_name_only(kind, own)]
    if bare:
        console.say(f"{len(bare)} labels have nothing for {kind} and are told by name alone: {', '.join(bare[:5])}")
    console.begin(f"texts ({kind})")
    targets = encode_text_targets(
        teacher,
        [render(kind, label, own, request.prompt) for label, own in said],
        cache=request.cache,
        hooks=hooks,
    )
    for short in targets.truncated[:5]:
        console.say(f"shortened, {short.tokens} tokens: {short.prompt}")
    if len(targets.truncated) > 5:
        console.say(f"and {len(targets.truncated) - 5} more texts were shortened")
    return targets


def _train(
    request: RunArguments,
    data: TrainData,
    start: InitialStudent | None,
    console: Console,
    on_epoch: OnEpoch,
    should_stop: Callable[[], bool],
) -> TrainResult:
    state = request.out / "work" / "state.safetensors"
    if state.exists():
        console.say("going on from the last saved state")

    def save(write: WriteState) -> None:
        try:
            write(state)
        except OSError as error:  # a full disk; the next one may have room
            console.say(f"state not saved ({error}); the one before it stands")

    with EventLog(request.out / "work" / "events") as events:

        def on_step(metrics: StepMetrics) -> None:
            console.step(metrics)
            events.step(metrics)

        return train(
            request.config,
            data,
            start=start,
            resume=state if state.exists() else None,
            save=save,
            on_step=on_step,
            on_epoch=on_epoch,
            should_stop=should_stop,
        )


def _bundle(
    request: RunArguments,
    teacher: Teacher,
    targets: TextTargets,
    result: TrainResult,
    evaluation: Evaluation,
    report: dict[str, Any],
    digests: dict[str, str],
) -> None:
    log, out = request.out / "work" / "training.jsonl", request.out / "bundle"
    write_bytes(log, "".join(json.dumps(line) + "\n" for line in result.log).encode())
    if out.exists():
        return
    parts = {at: "id" for at in request.image_index.id_labels} | {at: "ood" for at in request.image_index.ood_labels}
    write_bundle(
        out,
        student=StudentWeights(
            name=result.student.name,
            width=result.student.width,
            state=result.student.model.state_dict(),
            preprocess=result.student.preprocess(),
            model_args=result.student.model_args,
        ),
        teacher=teacher,
        targets=targets,
        labels=[
            {"label": label, "part": parts.get(at), "lines": list(own)}
            for at, (label, own) in enumerate(zip(request.labels, request.lines, strict=True))
        ],
        evaluation={**evaluation.as_json(), "teacher": report["teacher"]},
        training_log=log,
        provenance={"digests": digests, "recipe": request.recipe, "config": request.config.model_dump(mode="json")},
    )


def accuracy_table(report: dict[str, Any]) -> str:
    """Accuracies of teacher and student, and what guessing gives, as lines of text."""

    def row(name: str, run: dict[str, Any], figure: str) -> list[str]:
        parts = (run["id"], run["ood"])
        return [name, run["text"], *(f"{part[figure]:.1%}" if part else "-" for part in parts)]

    student = report["student"]
    rows = [["", "text", "ID", "OOD"]]
    rows += [row(f"teacher {one['run']}", one, "accuracy") for one in report["teacher"]]
    rows += [row(f"student {student['run']}", student, "accuracy")]
    if student.get("retrieval"):
        rows += [row("with retrieval", {**student, "id": None, "ood": student["retrieval"]}, "accuracy")]
    rows += [row("chance", {**student, "text": ""}, "chance")]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        f"{name:<{widths[0]}}  {text:<{widths[1]}}  {seen:>{widths[2]}}  {unseen:>{widths[3]}}"
        for name, text, seen, unseen in rows
    )
