"""The train part: trains the student, saves its training state regularly, and stores its weights and log at the end."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError
from torch import Tensor

from distill.bundle.student_files import save_weights
from distill.bundle.verify import MANIFEST_FILE
from distill.config.automatic import chosen_settings, needs_device
from distill.config.model_names import student_notes
from distill.config.train_config import TrainConfig
from distill.data.dataset.trained_on import IMAGES_FILE, LABELS_FILE, save_training_images
from distill.evaluation.epochs import measure_epochs
from distill.fitting.choice import TrainingChoice
from distill.hooks import PipelineHooks
from distill.json_types import EpochLine
from distill.pipeline import check_bundle, check_start, measure_teacher, training_data, tuned_teacher_cost
from distill.student.init_from_bundle import (
    CONFIG,
    TARGETS,
    WEIGHTS,
    InitialStudent,
    read_initial_student,
    trained_before,
)
from distill.student.model import Student, configured_student
from distill.student.saved_student import save_student
from distill.teacher.teacher import Teacher
from distill.texts.text_bank import needs_phrases
from distill.training.distributed import current_ranks
from distill.training.hooks import CopyStudent, OnCheckpoint, OnEpoch, SaveState, TrainHooks, WriteState
from distill.training.loop import TrainResult
from distill.training.loop import train as train_student
from distill.training.metrics import StepMetrics
from limbeck.shared.text import counted
from store import vocabularies
from store.blobs import reading
from store.jobs import claims, events
from store.jobs.claims import Claim
from store.jobs.part_results import PartResult, TrainPartResult
from store.jobs.specs import DistillSpec
from store.upkeep import attempt_states
from workers.gpu import inputs
from workers.gpu.device_memory import gpu_memory
from workers.gpu.features import fetch_features
from workers.gpu.pipeline_hooks import note_changed_images, pipeline_errors, pipeline_hooks
from workers.gpu.rounds.machines import train_on_machines
from workers.gpu.torchrun import train_in_ranks
from workers.gpu.training.epoch_checkpoints import CheckpointSaver
from workers.gpu.training.run_log import open_run_log
from workers.runtime.context import Context
from workers.runtime.lease_renewal import LeaseRenewal
from workers.runtime.run_part import Publish

log = structlog.get_logger()


def train(context: Context, claim: Claim, lease: LeaseRenewal) -> Publish:
    """Run the part, or a `train_node` part: in this process, or in ranks of this machine or of several machines."""
    spec = claim.job(DistillSpec)
    result: PartResult
    with inputs.scratch(context, claim) as folder:
        if spec.nnodes > 1:
            result = train_on_machines(context, claim, lease, spec, folder)
        elif spec.nproc > 1:
            result = train_in_ranks(claim, lease, spec, folder)
        else:
            result = run_training(context, claim, lease, folder)
    return lambda _tx: result


def run_training(context: Context, claim: Claim, lease: LeaseRenewal, folder: Path) -> TrainPartResult:
    """Train in this process, which may be one of several ranks; resumes from the training state of an earlier attempt,
    if there is one.

    `files` of the result: `student` weights, `training_log`, `training_images` (`distill.data.dataset.trained_on`) and,
    with prompt learning, `context`. The first rank stores them; the result of the others has none.
    """
    spec, ranks = claim.job(DistillSpec), current_ranks()
    hooks = pipeline_hooks(lease)
    with pipeline_errors():
        lease.begin("bundle trial")
        teacher = inputs.teacher(context, spec.teacher)
        left_out = _try_bundle(context, lease, spec, teacher, folder) if ranks.is_first else {}
        trained, config = _train(context, claim, lease, spec, teacher, folder, hooks)
    chosen = chosen_settings(config)
    return TrainPartResult(
        num_steps=trained.steps,
        train_seconds=round(trained.seconds, 1),
        num_bad_images=len(hooks.bad_images),
        files=_upload(context, claim, trained, folder) if ranks.is_first else {},
        **({"left_out": left_out} if left_out else {}),
        **({"chosen": chosen} if chosen else {}),
    )


def _try_bundle(
    context: Context, lease: LeaseRenewal, spec: DistillSpec, teacher: Teacher, folder: Path
) -> Mapping[str, str]:
    """Try the bundle before the training; returns the parts that it cannot have, with the reasons."""
    with context.db.read() as tx:
        num_labels = vocabularies.get(tx, spec.vocabulary_id).num_labels
    trial = check_bundle(
        spec.config,
        teacher,
        num_labels=num_labels,
        cache=context.settings.cache,
        scratch=folder,
        root=context.settings.data,
    )
    if trial is None:
        return {}
    level: events.Level = "warning" if trial.left_out else "info"
    lease.note(str(trial), level=level, seconds=round(trial.seconds, 1), left_out=dict(trial.left_out))
    return trial.left_out


def _upload(context: Context, claim: Claim, trained: TrainResult, folder: Path) -> dict[str, str]:
    """Store weights, learned vectors, the record of training images and the log as artefacts; name → artefact key."""
    files = {}
    save_student(trained.student, folder / "student.safetensors")
    if trained.context is not None:
        save_weights(folder / "context.safetensors", {"context": trained.context})
    for name in ("student", "context") if trained.context is not None else ("student",):
        files[name] = context.artefacts.put_file(
            folder / f"{name}.safetensors", f"{claim.place}/{name}.safetensors"
        ).key
    files["training_images"] = context.artefacts.put_file(folder / IMAGES_FILE, f"{claim.place}/{IMAGES_FILE}").key
    lines = "".join(json.dumps(line) + "\n" for line in trained.log)
    files["training_log"] = context.artefacts.put_bytes(lines.encode(), f"{claim.place}/training.jsonl").key
    return files


def _train(
    context: Context,
    claim: Claim,
    lease: LeaseRenewal,
    spec: DistillSpec,
    teacher: Teacher,
    folder: Path,
    hooks: PipelineHooks,
) -> tuple[TrainResult, TrainConfig]:
    """Train, and write the record of training images to `folder`. Returns the config with what was chosen here."""
    ranks = current_ranks()
    images = inputs.images(context, spec.dataset_id, folder)
    targets, encoded = inputs.targets(context, claim, folder)
    resume: Path | None = None
    if claim.state_key:
        resume = folder / "resume.safetensors"
        context.artefacts.get_file(claim.state_key, resume)
    if needs_device(spec.config):
        lease.begin("automatic settings")
    choice = TrainingChoice(spec.config, saved=resume, note=lease.note, root=context.settings.data)
    config = choice.before_views(teacher, images.image_index, images.root)
    lease.begin("teacher features")
    initial_student = _initial_student(context, spec, teacher, folder)
    before = trained_before(config, initial_student, root=context.settings.data)
    with ranks.first_of_machine_first():  # the others find features, pictures and weights in the caches
        if before is not None:
            check_start(before, config, images.image_index, cache=context.settings.cache, root=images.root, hooks=hooks)
        if ranks.local_rank == 0:
            fetch_features(context, claim, lease)
        if ranks.is_first:
            is_new = initial_student is None and not claim.state_key
            _report_student(context, lease, config, width=teacher.width, is_new=is_new)
        data = training_data(
            config,
            images.image_index,
            teacher,
            targets,
            cache=context.settings.cache,
            root=images.root,
            captions=inputs.captions(context, spec.caption_set_id, folder),
            phrases=inputs.phrases(inputs.texts(context, spec), spec) if needs_phrases(config) else None,
            hooks=hooks,
        )
    if images.contents is not None:
        note_changed_images(lease, images.contents, data.trained_contents())
    if data.teacher_map is not None and ranks.is_first:
        untuned, tuned = (
            measure_teacher(
                teacher,
                images.image_index,
                targets,
                spec.text,
                cache=context.settings.cache,
                root=images.root,
                shots=config.data.shots,
                background=config.data.background,
                teacher_map=of_run,
                hooks=hooks,
            )
            for of_run in (None, data.teacher_map)
        )
        lease.note(tuned_teacher_cost(untuned, tuned))
    if data.phrases is not None:
        lease.note(f"a bank of {counted(len(data.phrases), 'attribute phrase')} ({config.objective.phrases} labels)")
    if data.captioned is not None:
        lease.note(f"{int(data.captioned.sum())} of {len(data.captioned)} images have a caption")
    config = choice.before_steps(data)
    spec = spec.model_copy(update={"config": config})
    _warn_of_few_epochs(lease, spec)
    on_epoch: OnEpoch = _measure_nothing
    on_checkpoint: OnCheckpoint = _keep_nothing
    if ranks.is_first:
        evaluation = measure_epochs(
            config,
            images.image_index,
            teacher,
            targets,
            spec.text,
            cache=context.settings.cache,
            root=images.root,
            has_checkpoints=spec.save_checkpoints is not None,
            hooks=hooks,
        )
        on_epoch = evaluation
        on_checkpoint = CheckpointSaver(
            context=context,
            claim=claim,
            lease=lease,
            spec=spec,
            teacher=teacher,
            targets=targets,
            text_targets_id=encoded.text_targets_id,
            image_index=images.image_index,
            evaluation=evaluation,
            folder=folder,
        )
    lease.begin("training")
    report_step = _step_reporter(lease, config.schedule.batch_size)
    last_step = _LastStep()
    with open_run_log(context, claim, lease, spec, teacher_digest=teacher.digest) as run_log:

        def on_step(metrics: StepMetrics) -> None:
            last_step.number = metrics.step
            report_step(metrics)
            run_log.step(metrics)

        trained = train_student(
            config,
            data,
            initial_student=initial_student,
            resume=resume,
            root=context.settings.data,
            hooks=TrainHooks(
                on_step=on_step,
                on_epoch=run_log.measured(_epoch_reporter(lease, on_epoch)),
                on_checkpoint=on_checkpoint,
                should_stop=lease.should_stop,
                save=_state_saver(context, claim, lease, folder, last_step),
            ),
        )
    save_training_images(folder / IMAGES_FILE, data.trained_contents(), before)
    return trained, config


def _warn_of_few_epochs(lease: LeaseRenewal, spec: DistillSpec) -> None:
    """Say that no checkpoint will be kept, if a time budget has fewer epochs than lie between two of them."""
    wanted, epochs = spec.save_checkpoints, spec.config.schedule.epochs
    if wanted is not None and wanted.every_epochs > epochs and current_ranks().is_first:
        message = (
            f"no student is kept before the end: the time budget has {counted(epochs, 'epoch')}, "
            "fewer than every_epochs"
        )
        lease.note(message, level="warning")


def _measure_nothing(_epoch: int, _student: Student, _context: Tensor | None) -> EpochLine | None:
    """Only the first rank measures the student after an epoch."""
    return None


def _keep_nothing(_epoch: int, _copy_student: CopyStudent) -> None:
    """Only the first rank stores checkpoints."""


def _report_student(context: Context, lease: LeaseRenewal, config: TrainConfig, *, width: int, is_new: bool) -> None:
    """Build the student once, so that an argument or file that does not fit ends the part now, and report its start."""
    student = configured_student(
        config.student, width=width, seed=config.system.seed, root=context.settings.data, initialise=is_new
    )
    if not is_new:
        return
    for note in student_notes(
        config.student.architecture,
        pretrained=config.student.pretrained,
        has_weights=config.student.weights is not None,
    ):
        lease.note(note)
    lease.note(student.description(), initial_weights=student.initial)


def _step_reporter(lease: LeaseRenewal, batch_size: int) -> Callable[[StepMetrics], None]:
    """A hook that reports each step as progress and metrics of the part."""
    started = False

    def on_step(step: StepMetrics) -> None:
        nonlocal started
        if not started:
            started = True
            action = f"training resumes after step {step.step - 1}" if step.step > 1 else "training starts with step 1"
            lease.note(f"{action} of {step.total_steps}", step=step.step, total_steps=step.total_steps)
        rate = step.images_per_s / max(batch_size, 1)
        lease.progress(step.step, step.total_steps, "steps", rate, gauges=lambda: _gauges(step))
        lease.metrics(
            f"step {step.step}/{step.total_steps}: loss {step.loss:.3f}, {step.images_per_s:.0f} images/s",
            is_last=step.step == step.total_steps,
            step=step.step,
            total_steps=step.total_steps,
            epoch=step.epoch,
            loss=round(step.loss, 5),
            losses={name: round(value, 5) for name, value in step.losses.items()},
            lr=step.lr,
            images_per_s=round(step.images_per_s, 1),
            eta_s=round(step.eta_s, 1),
            data_wait=round(step.data_wait, 4),
        )

    return on_step


def _gauges(step: StepMetrics) -> Mapping[str, float]:
    return {"images_per_second": step.images_per_s, "data_wait_ratio": step.data_wait, **gpu_memory()}


def _epoch_reporter(lease: LeaseRenewal, on_epoch: OnEpoch) -> OnEpoch:
    """A hook that reports the accuracies that `on_epoch` measures as an event of the part."""

    def reported(epoch: int, student: Student, context: Tensor | None) -> EpochLine | None:
        line = on_epoch(epoch, student, context)
        if line is not None:
            names = {"id": "seen labels", "ood": "unseen labels"}
            shown = [
                f"{value:.1%} of {names[part]}" for part in names if (value := line["accuracy"].get(part)) is not None
            ]
            measure = "mAP" if line.get("measure") == "mean_ap" else "accuracy"
            lease.note(f"epoch {epoch}: {measure} {', '.join(shown)}", type="metrics", epoch=epoch, **line)
        return line

    return reported


def _initial_student(context: Context, spec: DistillSpec, teacher: Teacher, folder: Path) -> InitialStudent | None:
    """The student that the job continues from; None if the job names no checkpoint."""
    checkpoint_id = spec.start_checkpoint_id
    if checkpoint_id is None:
        return None
    with context.db.read() as tx:
        paths = (MANIFEST_FILE, CONFIG, WEIGHTS, TARGETS, LABELS_FILE, IMAGES_FILE)
        files = reading.contents(tx, checkpoint_id, paths)
    for path, content in files.items():
        reading.get_file(context.artefacts, content, folder / "start" / path)
    return read_initial_student(folder / "start", spec.config, teacher.digest)


@dataclass
class _LastStep:
    """The last step of this attempt; 0 before its first one."""

    number: int = 0


def _state_saver(context: Context, claim: Claim, lease: LeaseRenewal, folder: Path, last_step: _LastStep) -> SaveState:
    """A hook that stores the training state as an artefact of this attempt and points the row of the part at it.

    If a state cannot be stored (full disk, unreachable database), the previous one stays valid and training continues.
    The states of earlier attempts are deleted when this attempt has its first.
    """
    previous: str | None = None
    count = 0

    def save(write: WriteState) -> None:
        nonlocal count, previous
        count += 1
        key = f"{claim.place}/state/{count:06d}.safetensors"
        try:
            write(folder / "state.safetensors")
            context.artefacts.put_file(folder / "state.safetensors", key)
            with context.db.write() as tx:
                claims.save_state(tx, claim, key, units=last_step.number)
        except (OSError, SQLAlchemyError) as error:
            log.warning("state_not_saved", part=claim.part_id, error=f"{type(error).__name__}: {error}"[:300])
            lease.note(f"state not saved ({type(error).__name__}); the previous one is kept", level="warning")
            return
        if previous is not None:
            context.artefacts.delete_below(previous)
        elif claim.state_key is not None or claim.attempt > 1:
            with context.db.read() as tx:
                attempt_states.delete_dead_states(tx, context.artefacts, claim)
        previous = key

    return save
