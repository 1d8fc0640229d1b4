"""Runs the whole distillation for checked arguments; called by `python -m distill`.

Everything is kept in `OUT/work`: an interrupted run resumes, and a finished run is not repeated. Under `torchrun` the
first rank prepares, measures, bundles and prints; the other ranks only train.
"""

import json
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, cast

from torch import Tensor

from distill.bundle.onnx.files import OnnxInputs
from distill.bundle.preflight import BundleTrial, check_out
from distill.bundle.verify import MANIFEST_FILE, verify_bundle
from distill.bundle.write import write_bundle
from distill.cli.arguments import RunArguments
from distill.cli.check_images import check_images
from distill.cli.classifier import CLASSIFIER, save_classifier
from distill.cli.console import Console, duration
from distill.cli.report import RunReport, accuracy_table
from distill.cli.run_pictures import check_pictures, record_pictures
from distill.cli.run_texts import encode_texts, look_alikes, phrase_texts
from distill.config.model_names import student_notes
from distill.config.train_config import TrainConfig, merged
from distill.data.atomic_files import write_bytes
from distill.data.dataset.trained_on import IMAGES_FILE, TrainedOn, save_training_images
from distill.data.dataset_check.check import CheckedDataset
from distill.evaluation.accuracy import Evaluation, last_epochs
from distill.evaluation.epochs import measure_epochs
from distill.evaluation.further import of_training
from distill.evaluation.onnx_inputs import OnnxImages
from distill.fitting.choice import TrainingChoice
from distill.hooks import PipelineHooks
from distill.json_types import JSONObject, StudentEvaluation
from distill.pipeline import (
    MeasureOptions,
    bundle_weights,
    check_bundle,
    check_start,
    measure_student,
    measure_teacher,
    training_data,
    tuned_teacher_cost,
)
from distill.student.init_from_bundle import InitialStudent, read_initial_student, trained_before
from distill.student.model import Student, configured_student
from distill.teacher.teacher import Teacher, load_teacher
from distill.texts.student_texts import evaluation_inputs
from distill.texts.text_bank import needs_phrases
from distill.texts.text_targets import TextTargets
from distill.texts.text_templates import TextKind
from distill.training.device import choose_device
from distill.training.distributed import RankGroup, join_ranks
from distill.training.hooks import TrainHooks, WriteState
from distill.training.loader import TrainData
from distill.training.loggers.record import RunRecord
from distill.training.loggers.run_log import RunLog
from distill.training.loop import TrainResult, train
from distill.training.metrics import StepMetrics
from limbeck.shared.images.file_names import shown_path
from limbeck.shared.text import counted

NAMES: TextKind = "names"


@dataclass(frozen=True, eq=False)
class _Session:
    """What every stage of a run uses."""

    arguments: RunArguments
    console: Console
    hooks: PipelineHooks
    should_stop: Callable[[], bool]


@dataclass(frozen=True, eq=False)
class _Inputs:
    """The inputs of training. `targets`: the text targets for names alone, and for the text kind of the run.

    `trained_before`: what the student was trained on before the run. `left_out`: part that the bundle cannot have ->
    reason.
    """

    teacher: Teacher
    targets: dict[TextKind, TextTargets]
    data: TrainData
    initial_student: InitialStudent | None
    trained_before: TrainedOn | None
    left_out: Mapping[str, str]


class _StudentTexts(NamedTuple):
    """`targets`: the text targets of the run, with the learned vectors if there are any. `outliers`: look-alikes."""

    targets: TextTargets
    outliers: TextTargets | None


def run_distillation(arguments: RunArguments, *, should_stop: Callable[[], bool]) -> None:
    """Encode, train, measure and bundle. Progress goes to standard error, the table of accuracies to standard output.

    Raises ValueError if the folder holds another run, or one on other pictures, Stopped, and the errors of the stages.
    """
    with join_ranks() as ranks, open(os.devnull, "w", errors="backslashreplace") as null:
        console = Console(sys.stderr if ranks.is_first else null)
        report_file = arguments.out / "report.json"
        with ranks.first_rank_first():
            _refuse_other_files(arguments)
            arguments, dataset = check_images(arguments, console, should_stop)
            _claim_folder(arguments)
            console.begin("comparing the pictures")
            check_pictures(arguments, PipelineHooks(on_progress=console.progress, should_stop=should_stop))
            is_finished = report_file.exists()
        if not is_finished:
            report = _distill(arguments, dataset, ranks, console, should_stop)
            if report is not None:  # written last: if it exists, everything exists
                write_bytes(report_file, (json.dumps(report, indent=2) + "\n").encode())
            ranks.wait()
        if ranks.is_first:
            finished: RunReport = json.loads(report_file.read_text(encoding="utf-8"))
            _print(accuracy_table(finished["teacher"], finished["student"]))
            if arguments.bundle.exists():
                _print(f"bundle: {shown_path(arguments.bundle)}")


def _print(text: str) -> None:
    """Print a text with names of files, of which standard output may not be able to encode all characters."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, errors="backslashreplace").decode(encoding))


def _refuse_other_files(arguments: RunArguments) -> None:
    """Raise ValueError if the folder holds files, but no run; the cache of a run that was refused does not count."""
    if (arguments.work / "request.json").exists() or not arguments.out.exists():
        return
    if any(path != arguments.work for path in arguments.out.iterdir()) or (
        arguments.work.exists() and any(path.name != "cache" for path in arguments.work.iterdir())
    ):
        raise ValueError(f"{arguments.out} is not empty and holds no run: give --out another folder")


def _claim_folder(arguments: RunArguments) -> None:
    """Record the run's identity in a new folder. Raises ValueError if the folder holds another run."""
    identity_file = arguments.work / "request.json"
    identity = json.loads(json.dumps(arguments.identity()))
    if identity_file.exists():
        previous = json.loads(identity_file.read_text(encoding="utf-8"))
        if isinstance(previous.get("config"), dict):  # a setting that it lacks is newer and had its default
            defaults = json.loads(json.dumps(TrainConfig().identity()))
            previous["config"] = merged(defaults, previous["config"])
        different = [name for name in identity if previous.get(name) != identity[name]]
        if "config" in different and isinstance(previous.get("config"), dict):
            settings = sorted(k for k, v in identity["config"].items() if previous["config"].get(k) != v)
            different[different.index("config")] = f"config ({', '.join(settings)})"
        if different:
            raise ValueError(
                f"{arguments.out} holds a run with a different {', '.join(different)}: give --out another folder"
            )
        return
    write_bytes(identity_file, json.dumps(identity, indent=2).encode())


def _distill(
    arguments: RunArguments,
    dataset: CheckedDataset,
    ranks: RankGroup,
    console: Console,
    should_stop: Callable[[], bool],
) -> RunReport | None:
    """Carry out all stages. The report on the first rank, None on the others."""
    root = Path(arguments.image_index.root)
    hooks = PipelineHooks(
        on_progress=console.progress,
        should_stop=should_stop,
        on_bad_image=lambda path, reason: console.message(f"left out {shown_path(path)}: {reason}"),
        bad_images={root / path: reason for path, reason in dataset.unreadable.items()},
    )
    if ranks.is_first:
        write_bytes(arguments.work / "dataset.json", dataset.report.model_dump_json(indent=1).encode())
    session = _Session(arguments, console, hooks, should_stop)
    session, inputs = _prepare_inputs(session, ranks)
    with RunLog(arguments.loggers, _run_record(session, inputs), warn=console.message) as run_log:
        result = _train(session, inputs, ranks, run_log)
        if not ranks.is_first:
            return None
        console.message(f"trained {counted(result.steps, 'step')} in {duration(result.seconds)}")
        return _measure_and_bundle_or_say(session, inputs, result, run_log)


def _run_record(session: _Session, inputs: _Inputs) -> RunRecord:
    """The run for its loggers. Its id is kept in the folder, so that a resumed run continues its record."""
    arguments = session.arguments
    id_file = arguments.work / "log_id.txt"
    if not id_file.exists():
        write_bytes(id_file, secrets.token_hex(8).encode())
    return RunRecord(
        id=id_file.read_text(encoding="ascii"),
        name=arguments.out.resolve().name,
        folder=arguments.work,
        events=arguments.work / "events",
        settings={"recipe": arguments.recipe, **arguments.config.flat()},
        tags={
            "dataset": arguments.image_index.digest,
            "teacher": inputs.teacher.digest,
            "teacher_ref": inputs.teacher.ref,
            "text": arguments.text,
        },
    )


def _measure_and_bundle_or_say(session: _Session, inputs: _Inputs, result: TrainResult, run_log: RunLog) -> RunReport:
    arguments, console = session.arguments, session.console
    try:
        return _measure_and_bundle(session, inputs, result, run_log)
    except Exception:
        console.message(
            f"the training is complete and saved in {arguments.state}: the same command continues after it and does "
            "not train again"
        )
        raise


def _measure_and_bundle(session: _Session, inputs: _Inputs, result: TrainResult, run_log: RunLog) -> RunReport:
    student, texts = _measure_student(session, inputs, result)
    config = session.arguments.config
    report = RunReport(
        teacher=[{"run": inputs.teacher.ref, **one.as_json()} for one in _measure_teacher(session, inputs)],
        student={"run": config.student.architecture, **student.as_json()},
        seconds=result.seconds,
        bad_images={shown_path(path): reason for path, reason in session.hooks.bad_images.items()},
        left_out={},
    )
    evaluation: StudentEvaluation = {**student.as_json(), "teacher": report["teacher"]}
    run_log.evaluation(evaluation, step=result.steps)
    if config.data.protocol == "closed_set":  # it gets no bundle, and is the baseline of other students
        index = session.arguments.image_index
        folder = session.arguments.out / CLASSIFIER
        save_classifier(folder, result.student, [index.labels[label] for label in index.id_labels])
        return report
    return {**report, "left_out": dict(_write_bundle(session, inputs, result, texts, evaluation))}


def _prepare_inputs(session: _Session, ranks: RankGroup) -> tuple[_Session, _Inputs]:
    """Load the teacher, encode the texts and prepare the training data; the first rank fills the caches.

    The session that is returned has the settings that were chosen for this machine.
    """
    arguments, console = session.arguments, session.console
    config, image_index = arguments.config, arguments.image_index
    counts = image_index.counts
    for note in arguments.notes:
        console.message(note)
    console.message(
        f"{counted(len(image_index), 'image')}: {counts['train']} for training and {counts['held_out']} held out of "
        f"{counts['id_labels']} labels, {counts['ood']} of {counts['ood_labels']} unseen labels"
        + (f", {counts['unlabelled']} without labels" if "unlabelled" in counts else "")
    )
    teacher = load_teacher(arguments.teacher, device=str(choose_device(config.system.device)))
    console.message(
        f"teacher {teacher.ref}: width {teacher.width}, {counted(teacher.context_length, 'token')}, {teacher.origin}"
    )
    for note in teacher.notes:
        console.message(f"teacher {teacher.ref}: {note}")
    _report_student(session, teacher)
    left_out: Mapping[str, str] = {}
    if ranks.is_first and (trial := _check_bundle(arguments, teacher)):
        console.message(str(trial))
        left_out = trial.left_out
    initial_student = None
    if arguments.initial_student is not None:
        initial_student = read_initial_student(arguments.initial_student, config, teacher.digest)
    before = trained_before(config, initial_student)
    saved = arguments.state if arguments.state.exists() else None
    choice = TrainingChoice(config, saved=saved, note=console.message)
    config = choice.before_views(teacher, image_index)
    with ranks.first_rank_first():
        if before is not None:
            check_start(before, config, image_index, cache=arguments.cache, hooks=session.hooks)
        names, targets = (
            encode_texts(arguments, teacher, kind, console, session.hooks) for kind in (NAMES, arguments.text)
        )
        console.begin("teacher features")
        data = training_data(
            config,
            image_index,
            teacher,
            targets,
            cache=arguments.cache,
            captions=arguments.captions,
            phrases=phrase_texts(arguments) if needs_phrases(config) else None,
            hooks=session.hooks,
        )
    if data.teacher_map is not None:
        _report_tuned_teacher(session, teacher, targets, data.teacher_map)
    if data.phrases is not None:
        console.message(
            f"a bank of {counted(len(data.phrases), 'attribute phrase')} ({config.objective.phrases} labels)"
        )
    if data.captioned is not None:
        console.message(f"{int(data.captioned.sum())} of {len(data.captioned)} images have a caption")
    session = replace(session, arguments=replace(arguments, config=choice.before_steps(data)))
    return session, _Inputs(teacher, {NAMES: names, arguments.text: targets}, data, initial_student, before, left_out)


def _report_tuned_teacher(session: _Session, teacher: Teacher, targets: TextTargets, teacher_map: Tensor) -> None:
    arguments = session.arguments
    session.console.begin("measuring the tuned teacher")
    before, after = (
        measure_teacher(
            teacher,
            arguments.image_index,
            targets,
            arguments.text,
            cache=arguments.cache,
            shots=arguments.config.data.shots,
            background=arguments.config.data.background,
            teacher_map=of_run,
            hooks=session.hooks,
        )
        for of_run in (None, teacher_map)
    )
    session.console.message(tuned_teacher_cost(before, after))


def _check_bundle(arguments: RunArguments, teacher: Teacher) -> BundleTrial | None:
    """Try the bundle. Raises BundleError and OSError if it could not be written at the end."""
    check_out(arguments.bundle)
    return check_bundle(
        arguments.config,
        teacher,
        num_labels=len(arguments.labels),
        cache=arguments.cache,
        scratch=arguments.work,
    )


def _report_student(session: _Session, teacher: Teacher) -> None:
    """Build the student once, so that an argument or file that does not fit ends the run now, and report its start."""
    arguments, config = session.arguments, session.arguments.config.student
    is_new = arguments.initial_student is None and not (arguments.work / "state.safetensors").exists()
    for note in student_notes(
        config.architecture,
        pretrained=config.pretrained or arguments.initial_student is not None,
        has_weights=config.weights is not None,
    ):
        session.console.message(note)
    student = configured_student(config, width=teacher.width, seed=arguments.config.system.seed, initialise=is_new)
    if is_new:
        session.console.message(student.description())


def _train(session: _Session, inputs: _Inputs, ranks: RankGroup, run_log: RunLog) -> TrainResult:
    """Train the student, from the saved training state if there is one."""
    arguments, console = session.arguments, session.console
    state = arguments.state
    with ranks.first_rank_first():  # the first rank decodes the images, the others find them in the cache
        on_epoch = measure_epochs(
            arguments.config,
            arguments.image_index,
            inputs.teacher,
            inputs.targets[arguments.text],
            arguments.text,
            cache=arguments.cache,
            hooks=session.hooks,
        )
        if ranks.is_first:
            console.begin("hashing the pictures")
            record_pictures(arguments, session.hooks)
    if state.exists():
        console.message("resuming from the last saved state")

    def save(write_state: WriteState) -> None:
        try:
            write_state(state)
        except OSError as error:  # such as a full disk; the next save may succeed
            console.message(f"state not saved ({error}); the previous one is kept")

    def on_step(metrics: StepMetrics) -> None:
        console.step(metrics)
        run_log.step(metrics)

    return train(
        arguments.config,
        inputs.data,
        initial_student=inputs.initial_student,
        resume=state if state.exists() else None,
        hooks=TrainHooks(
            on_step=on_step, on_epoch=run_log.measured(on_epoch), should_stop=session.should_stop, save=save
        ),
    )


def _measure_student(session: _Session, inputs: _Inputs, result: TrainResult) -> tuple[Evaluation, _StudentTexts]:
    """The student's evaluation, and its texts."""
    arguments, config = session.arguments, session.arguments.config
    session.console.begin("measuring the student")
    image_index, targets = evaluation_inputs(
        config, arguments.image_index, inputs.teacher, inputs.targets[arguments.text], result.context
    )
    is_closed_set = config.data.protocol == "closed_set"
    outliers = None
    if not is_closed_set and not image_index.is_multi_label:
        outliers = look_alikes(arguments, inputs.teacher, result.context, session.console, session.hooks)
    evaluation = measure_student(
        result.student,
        image_index,
        targets,
        arguments.text,
        MeasureOptions(
            temperature=config.objective.temperature,
            shots=config.data.shots,
            retrieve=config.data.protocol == "retrieval",
            device=config.system.device,
            further=None if is_closed_set else of_training(outliers),
        ),
        cache=arguments.cache,
        teacher=None if is_closed_set else inputs.teacher,
        hooks=session.hooks,
    )
    evaluation = replace(evaluation, last_epochs=last_epochs(result.log, config.evaluation.measured_epochs))
    return evaluation, _StudentTexts(targets, outliers)


def _measure_teacher(session: _Session, inputs: _Inputs) -> list[Evaluation]:
    """The teacher's evaluation for each text kind, as the baseline of the student."""
    arguments = session.arguments
    session.console.begin("measuring the teacher")
    return [
        measure_teacher(
            inputs.teacher,
            arguments.image_index,
            targets,
            kind,
            cache=arguments.cache,
            shots=arguments.config.data.shots,
            background=arguments.config.data.background,
            hooks=session.hooks,
        )
        for kind, targets in inputs.targets.items()
    ]


def _write_bundle(
    session: _Session, inputs: _Inputs, result: TrainResult, texts: _StudentTexts, evaluation: StudentEvaluation
) -> Mapping[str, str]:
    """Write the bundle, unless it exists. Returns the parts that it lacks, with the reasons."""
    arguments = session.arguments
    log, out = arguments.work / "training.jsonl", arguments.bundle
    write_bytes(log, "".join(json.dumps(line) + "\n" for line in result.log).encode())
    if (out / MANIFEST_FILE).exists():
        return verify_bundle(out).get("left_out", {})
    training_images = arguments.work / IMAGES_FILE
    save_training_images(training_images, inputs.data.trained_contents(), inputs.trained_before)
    digests = dict(inputs.data.digests)
    if inputs.initial_student is not None:
        digests["start"] = inputs.initial_student.digest
    index = arguments.image_index
    parts = {label: "id" for label in index.id_labels} | {label: "ood" for label in index.ood_labels}
    written = write_bundle(
        out,
        student=bundle_weights(result.student),
        teacher=inputs.teacher,
        targets=texts.targets,
        outliers=texts.outliers,
        labels=[
            {"label": name, "part": parts.get(label), "lines": list(lines)}
            for label, (name, lines) in enumerate(zip(arguments.labels, arguments.lines, strict=True))
        ],
        evaluation=evaluation,
        training_log=log,
        training_images=training_images,
        provenance={
            "digests": digests,
            "initial_weights": cast(JSONObject, result.student.initial),
            "recipe": arguments.recipe,
            "config": arguments.config.model_dump(mode="json"),
        },
        onnx=_onnx_inputs(session, inputs, result.student, texts.targets) if arguments.config.bundle.onnx else None,
        left_out=inputs.left_out,
    )
    for part, reason in written.left_out.items():
        session.console.message(f"warning: the bundle has no {part}: {reason}")
    return written.left_out


def _onnx_inputs(session: _Session, inputs: _Inputs, student: Student, targets: TextTargets) -> OnnxInputs:
    arguments, config = session.arguments, session.arguments.config
    session.console.begin("ONNX files")
    images = OnnxImages(
        student=student,
        image_index=arguments.image_index,
        targets=targets,
        cache=arguments.cache,
        shots=config.data.shots,
        hooks=session.hooks,
    )
    text = inputs.teacher if config.bundle.text_onnx else None
    return images.inputs(arguments.prompt, config.objective.temperature, text)
