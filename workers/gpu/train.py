"""The train part: the student learns; its state is kept as it goes, its weights and log when it is done."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog
from safetensors.torch import save_file
from sqlalchemy.exc import SQLAlchemyError

from distill.bundle.verify import MANIFEST_FILE
from distill.data.decoded_images import ImagesError
from distill.data.few_shot import FewShotError
from distill.hooks import PipelineHooks
from distill.pipeline import NoImages, measure_epochs, training_data
from distill.student.init_from_bundle import TARGETS, WEIGHTS, InitialStudent, InitialStudentError, read_initial_student
from distill.student.model import StudentError
from distill.teacher.teacher import Teacher, TeacherError
from distill.texts.text_templates import TextsError
from distill.training.hooks import TrainHooks
from distill.training.loop import NonFiniteLoss, OutOfMemory, TrainResult
from distill.training.loop import train as train_student
from distill.training.metrics import StepMetrics
from distill.training.training_state import StateError
from store import resources
from store.jobs import claims
from store.jobs.claims import Claim
from store.jobs.part_results import TrainPartResult
from store.jobs.specs import DistillSpec
from workers.gpu import inputs
from workers.runtime.context import Context
from workers.runtime.errors import PartFailed
from workers.runtime.lease_renewal import Keeper
from workers.runtime.run_part import Publish
from workers.runtime.throughput import Rate

log = structlog.get_logger()

CODES: Mapping[type[Exception], str] = {
    NoImages: "no_usable_images",
    ImagesError: "images_not_ready",
    StudentError: "student_unfit",
    FewShotError: "too_few_images",
    InitialStudentError: "start_unfit",
    StateError: "state_unusable",
    TextsError: "texts_unfit",
    NonFiniteLoss: "loss_not_finite",
    OutOfMemory: "gpu_out_of_memory",
}


def train(context: Context, claim: Claim, keeper: Keeper) -> Publish:
    """Run the part, from the state of the attempt before where there is one; its `files` are weights and log."""
    spec = claim.job(DistillSpec)
    with inputs.scratch(context) as folder:
        hooks = pipeline_hooks(keeper)
        try:
            result = _train(context, claim, keeper, spec, folder, hooks)
        except TeacherError as error:
            raise PartFailed(error.code, str(error)) from error
        except tuple(CODES) as error:
            raise PartFailed(CODES[type(error)], str(error)) from error
        parts = {"student": result.student.model.state_dict()}
        if result.context is not None:
            parts["context"] = {"context": result.context}
        files = {}
        for name, tensors in parts.items():
            save_file(tensors, folder / f"{name}.safetensors")
            files[name] = context.artefacts.put_file(
                folder / f"{name}.safetensors", f"{claim.place}/{name}.safetensors"
            )
        lines = "".join(json.dumps(line) + "\n" for line in result.log)
        files["training_log"] = context.artefacts.put_bytes(lines.encode(), f"{claim.place}/training.jsonl")
    made = TrainPartResult(
        num_steps=result.steps,
        train_seconds=round(result.seconds, 1),
        num_bad_images=len(hooks.bad_images),
        files={name: file.key for name, file in files.items()},
    )
    return lambda _tx: made


def _train(
    context: Context, claim: Claim, keeper: Keeper, spec: DistillSpec, folder: Path, hooks: PipelineHooks
) -> TrainResult:
    config = spec.config
    images = inputs.images(context, spec.dataset_id, folder)
    targets, _ = inputs.targets(context, claim, folder)
    teacher = inputs.teacher(context, spec.teacher)
    start = _start(context, spec, teacher, folder)
    data = training_data(
        config,
        images.image_index,
        teacher,
        targets,
        cache=context.settings.cache,
        root=images.root,
        captions=inputs.captions(context, spec.caption_set_id, folder),
        hooks=hooks,
    )
    if data.captioned is not None:
        keeper.note(f"{int(data.captioned.sum())} of {len(data.captioned)} images have a caption")
    resume: Path | None = None
    if claim.state_key:
        resume = folder / "resume.safetensors"
        context.artefacts.get_file(claim.state_key, resume)

    begun = False

    def on_step(step: StepMetrics) -> None:
        nonlocal begun
        if not begun:
            begun = True
            how = f"going on from step {step.step - 1}" if step.step > 1 else "training begins: step 1"
            keeper.note(f"{how} of {step.total_steps}", step=step.step, total_steps=step.total_steps)
        rate = step.images_per_s / max(config.schedule.batch_size, 1)
        keeper.progress(step.step, step.total_steps, "steps", rate)
        terms = {name: round(value, 5) for name, value in step.losses.items()}
        keeper.metrics(
            f"step {step.step}/{step.total_steps}: loss {step.loss:.3f}, {step.images_per_s:.0f} images/s",
            step=step.step,
            total_steps=step.total_steps,
            epoch=step.epoch,
            loss=round(step.loss, 5),
            losses=terms,
            lr=step.lr,
            images_per_s=round(step.images_per_s, 1),
            eta_s=round(step.eta_s, 1),
            data_wait=round(step.data_wait, 4),
        )

    on_epoch = measure_epochs(
        config,
        images.image_index,
        teacher,
        targets,
        spec.text,
        cache=context.settings.cache,
        root=images.root,
        hooks=hooks,
    )
    return train_student(
        config,
        data,
        initial_student=start,
        resume=resume,
        hooks=TrainHooks(
            on_step=on_step,
            on_epoch=on_epoch,
            should_stop=keeper.should_stop,
            save=_saver(context, claim, keeper, folder),
        ),
    )


def _start(context: Context, spec: DistillSpec, teacher: Teacher, folder: Path) -> InitialStudent | None:
    """The student that the job goes on from, where it names one."""
    checkpoint_id = spec.start_checkpoint_id
    if checkpoint_id is None:
        return None
    for path in (MANIFEST_FILE, WEIGHTS, TARGETS):
        with context.db.read() as tx:
            key = resources.checkpoint_file(tx, checkpoint_id, path).file_key
        context.artefacts.get_file(key, folder / "start" / path)
    return read_initial_student(folder / "start", spec.config, teacher.digest)


def _saver(context: Context, claim: Claim, keeper: Keeper, folder: Path) -> Callable[[Callable[[Path], None]], None]:
    """Keeps a state in this attempt's place and moves the row's pointer there; a state that cannot be kept (a full
    disk, a database away) leaves the last one standing, and training goes on."""
    kept: list[str] = []
    count = 0

    def save(write: Callable[[Path], None]) -> None:
        nonlocal count
        count += 1
        key = f"{claim.place}/state/{count:06d}.safetensors"
        try:
            write(folder / "state.safetensors")
            context.artefacts.put_file(folder / "state.safetensors", key)
            with context.db.write() as tx:
                claims.save_state(tx, claim, key)
        except (OSError, SQLAlchemyError) as error:
            log.warning("state_not_saved", part=claim.part_id, error=f"{type(error).__name__}: {error}"[:300])
            keeper.note(f"state not saved ({type(error).__name__}); the one before it stands", level="warning")
            return
        for old in kept:
            context.artefacts.delete_below(old)
        kept[:] = [key]

    return save


def pipeline_hooks(keeper: Keeper) -> PipelineHooks:
    """What the steps of a run tell, as progress and events of the part."""
    rates: dict[str, Rate] = {}

    def on_progress(done: int, total: int, unit: str) -> None:
        keeper.progress(done, total, unit, rates.setdefault(unit, Rate())(done))

    def on_bad_image(path: Path, reason: str) -> None:
        name = f"{path.parent.name}/{path.name}"
        keeper.note(f"image {name} is left out: {reason}", level="warning", image=name, reason=reason)

    return PipelineHooks(on_progress=on_progress, should_stop=keeper.should_stop, on_bad_image=on_bad_image)
