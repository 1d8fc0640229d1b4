"""Training loop of a student (arXiv:2307.03135): batches, losses, optimizer steps; can stop and resume at any step.

Run by `python -m distill` and by the service's workers, in one process or under `torchrun`. The images, crops, dropout
masks and learning rate of a step are functions of the seed and the step number. A run that was killed and resumed from
its last state therefore ends with the weights of an uninterrupted run: bit for bit on a CPU with a fixed number of
threads, and on a GPU if `deterministic` is set. B images of a rank, D embedding width.
"""

import copy
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from distill import Stopped
from distill.config.train_config import TrainConfig
from distill.data.counter_rng import random_words
from distill.data.crops import crop_views
from distill.json_types import LogLine
from distill.student.init_from_bundle import InitialStudent
from distill.student.model import Student
from distill.training.device import torch_settings
from distill.training.guards import NonFiniteLoss, OutOfMemory, explain_out_of_memory, finite_losses
from distill.training.hooks import StudentNow, TrainHooks
from distill.training.loader import Batch, TrainData, batches
from distill.training.metrics import MetricsLog
from distill.training.objective import ObjectiveInputs
from distill.training.schedules import set_learning_rate
from distill.training.setup import TrainingRun, prepare_training
from distill.training.weight_average import WeightAverage

__all__ = ["NonFiniteLoss", "OutOfMemory", "TrainHooks", "TrainResult", "train"]

NO_HOOKS = TrainHooks()
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainResult:
    """A trained student, in evaluation mode on the CPU. `log`: metrics of about 2,000 steps, and results of epochs.

    `last`: the weights of the last step as a state dict, if the student's weights are an average of several steps.
    `context`: the learned vectors (M, W), if any; `distill.texts.prompt_learning.with_context` applies them to texts.
    """

    student: Student
    steps: int
    seconds: float
    log: list[LogLine]
    last: dict[str, Tensor] | None = None
    context: Tensor | None = None


def train(
    config: TrainConfig,
    data: TrainData,
    *,
    initial_student: InitialStudent | None = None,
    resume: Path | None = None,
    root: Path | None = None,
    hooks: TrainHooks = NO_HOOKS,
) -> TrainResult:
    """Train a student: new, from the weights of `initial_student`, or from the training state in the file `resume`.

    `root`: the folder below which the weights of `config.student` must lie. Raises Stopped, NonFiniteLoss, OutOfMemory,
    StudentError, InitialStudentError, StateError for a state that is damaged or belongs to another run, and ValueError
    for inconsistent data.
    """
    run = prepare_training(config, data, initial_student=initial_student, resume=resume, root=root)
    metrics_log = MetricsLog(config, run.plan, run.position)

    def save() -> None:
        if data.to_encode is not None:
            data.to_encode.flush()  # first, so that a run that resumes finds the features of the steps that were made
        run.position.seconds = metrics_log.seconds()
        if run.ranks.is_first:
            hooks.save(run.write_state)
        metrics_log.mark_saved()

    with open_batches(run, data) as read:
        for batch in read:
            if run.ranks.any(hooks.should_stop()):
                save()
                run.ranks.wait()
                raise Stopped(f"{run.position.step} of {run.plan.total_steps} steps done")
            losses, lr = training_step(run, batch)
            ends_epoch = run.position.step % run.plan.steps_per_epoch == 0
            metrics = metrics_log.record(
                losses,
                run.objective.weights,
                lr=lr,
                waited_s=batch.waited_s,
                encoding=batch.encoding,
                train_accuracy=run.train_accuracy.mean() if ends_epoch else None,
            )
            if run.ranks.is_first:
                hooks.on_step(metrics)
                if ends_epoch:
                    _end_epoch(run, metrics.epoch, hooks)
            if metrics_log.save_due():
                save()
    return _result(run)


@contextmanager
def open_batches(run: TrainingRun, data: TrainData) -> Iterator[Iterator[Batch]]:
    """The batches from the position of a run on, under torch's settings for it. Raises OutOfMemory."""
    with (
        torch_settings(run.config.system, run.device),
        explain_out_of_memory(run.config, run.plan.batch_size),
        closing(batches(data, run.config, run.position.step, run.device, run.ranks)) as read,
    ):
        yield read


def training_step(run: TrainingRun, batch: Batch) -> tuple[dict[str, float], float]:
    """Make one optimizer step; returns each loss term before its weight, and the learning rate.

    Raises NonFiniteLoss.
    """
    config, position, num_parts = run.config, run.position, run.config.schedule.accumulate
    lr = set_learning_rate(run.optimizer, config, step=position.step, steps_per_epoch=run.plan.steps_per_epoch)
    # Dropout is seeded by step, so that a resumed run drops the same units.
    torch.manual_seed(int(random_words(config.system.seed, position.step, run.ranks.rank) >> 1))
    if position.step % run.plan.steps_per_pass == 0:
        run.train_accuracy.begin_pass()
    run.optimizer.zero_grad(set_to_none=True)
    terms = []
    for number, part in enumerate(batch.parts(num_parts), start=1):
        with run.ranks.without_gradient_sync(run.parallel, number < num_parts):
            terms.append(_add_gradients(run, part))
    run.ranks.average_gradients(run.objective.parameters())
    gradients = [parameter.grad for parameter in run.learner.parameters() if parameter.grad is not None]
    losses = finite_losses(terms, gradients, run.scaler, position.step + 1)
    run.scaler.step(run.optimizer)
    run.scaler.update()
    position.step += 1
    run.average.update(position.step)
    if run.ema is not None:
        run.ema.update(position.step)
    return losses, lr


def _add_gradients(run: TrainingRun, part: Batch) -> dict[str, Tensor]:
    """The loss terms of one part of a batch; adds its gradients to the accumulated ones."""
    system = run.config.system
    with torch.autocast(run.device.type, _DTYPES[system.precision], enabled=system.precision != "float32"):
        crops = crop_views(part.pixels, part.views, run.config.student.size)
        if part.mixture is not None:
            partners = crop_views(part.mixture.pixels, part.mixture.views, run.config.student.size)
            crops = part.mixture.mixed(crops, partners)
        images = run.student.normalise(crops)
        images = images.contiguous(memory_format=torch.channels_last)
        features = run.forward(images)  # (B, D)
        averaged = None if run.ema is None else _features_of_average(run, run.ema, images, features)
    terms: dict[str, Tensor] = run.objective(
        ObjectiveInputs(
            student=features,
            teacher=part.teacher,
            labels=part.labels,
            images=part.images,
            texts=run.texts,
            unseen=run.unseen,
            captions=part.captions,
            captioned=part.captioned,
            class_weights=run.class_weights,
            ema=averaged,
            phrases=run.phrases,
            label_texts=run.label_texts.features if run.label_texts else None,
            text_labels=run.label_texts.labels if run.label_texts else None,
            label_matrix=part.label_matrix,
            has_unlabelled=run.plan.num_unlabelled > 0 or part.mixture is not None,
        )
    )
    if run.objective.predicted is not None:
        run.train_accuracy.update(*run.objective.predicted)
    loss = run.objective.total(terms) / run.config.schedule.accumulate
    run.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    return terms


@torch.no_grad()
def _features_of_average(run: TrainingRun, ema: WeightAverage, images: Tensor, features: Tensor) -> Tensor:
    """Features (B, D) of the moving average of the student, in evaluation mode; those of the student before step 1."""
    averages = ema.student_tensors()
    if not averages:
        return features.detach()
    model = run.student.model
    model.eval()
    try:
        found: Tensor = torch.func.functional_call(model, averages, (images,))
    finally:
        model.train()
    return found


def _end_epoch(run: TrainingRun, epoch: int, hooks: TrainHooks) -> None:
    """Call `on_epoch`, append its result to the log, and put the student back into training mode. `on_checkpoint`."""
    if line := hooks.on_epoch(epoch, run.student, run.objective.learned_context()):
        entry: LogLine = {"step": run.position.step, "epoch": epoch, "accuracy": line["accuracy"]}
        if "measure" in line:
            entry["measure"] = line["measure"]
        run.position.log.append(entry)
    run.student.model.train()
    hooks.on_checkpoint(epoch, lambda: _copy_student(run))


def _copy_student(run: TrainingRun) -> StudentNow:
    """The student as `_result` would deliver it now; the training goes on with the same bits."""
    with run.average.swapped_in():
        model = copy.deepcopy(run.built.model)
        model.load_state_dict(run.student.model.state_dict())
        context = run.objective.learned_context()
    model.eval().to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return StudentNow(run.position.step, replace(run.built, model=model), context)


def _result(run: TrainingRun) -> TrainResult:
    last = run.average.swap_in()
    student = run.built
    student.model.load_state_dict(run.student.model.state_dict())
    student.model.eval().to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return TrainResult(
        student=student,
        steps=run.position.step,
        seconds=run.position.seconds,
        log=run.position.log,
        last=last,
        context=run.objective.learned_context(),
    )
