"""The training of a student (arXiv:2307.03135): batch, targets, losses, step; stopped and gone on with at any step.

Run by `python -m distill` and by the service's workers, in one process or in those of `torchrun`. Which images, crops
and dropped units a step sees, and at which rate, are functions of the seed and the step's number, so that a run that
was killed in mid-epoch and went on from its last state ends with the weights of one that never stopped (to the bit on
a CPU at a fixed number of threads, on a GPU if `deterministic`). B images of a rank, K labels, D embedding width.
"""

import os
import shutil
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from distill import Stopped
from distill.config.train_config import TrainConfig
from distill.data.counter_rng import random_words
from distill.data.crops import see_views
from distill.student.init_from_bundle import InitialStudent
from distill.student.model import Student, build_student
from distill.training import distributed
from distill.training.guards import NonFiniteLoss, OutOfMemory, finite, refuse_unfit, told_of_memory
from distill.training.loader import Batch, TrainData, batches, plan_batches
from distill.training.metrics import MetricsLog, StepMetrics
from distill.training.objective import Objective, ObjectiveInputs
from distill.training.schedules import build_optimizer, set_rates
from distill.training.training_state import TrainingPosition, load_state, save_state
from distill.training.weight_average import WeightAverage

__all__ = [
    "NonFiniteLoss",
    "OnEpoch",
    "OutOfMemory",
    "SaveState",
    "StepMetrics",
    "TrainResult",
    "choose_device",
    "train",
]

# Compiling takes about a minute. It saves about a fifth of a step on a GPU, and a twentieth on a CPU, where a step
# takes as long as it has pixels.
COMPILE_PAYS_STEPS = 2000
COMPILE_PAYS_PIXELS = 4e9
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

WriteState = Callable[[Path], None]
SaveState = Callable[[WriteState], None]
OnEpoch = Callable[[int, Student, Tensor | None], Mapping[str, Any] | None]


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainResult:
    """A trained student, in evaluation mode on the CPU; `log`: its steps, thinned out to some 2,000 lines.

    `last`: where the student's weights are an average, those that the last step left, as a state dict.
    `context`: the vectors (M, W) learned for the texts (`distill.texts.prompt_learning.with_context` puts them there),
    if any.
    """

    student: Student
    steps: int
    seconds: float
    log: list[dict[str, Any]]
    last: dict[str, Tensor] | None = None
    context: Tensor | None = None


def train(
    config: TrainConfig,
    data: TrainData,
    *,
    start: InitialStudent | None = None,
    resume: Path | None = None,
    save: SaveState | None = None,
    on_step: Callable[[StepMetrics], None] | None = None,
    on_epoch: OnEpoch | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> TrainResult:
    """Train a student as `config` asks: from its beginning, or the weights of `start`, or the state in `resume`.

    `save` is called with a function that writes the state, atomically, to the path it is given: after an epoch (not
    more often than every 5 s), after each `save_every_s` seconds, at the end, and before Stopped is raised because
    `should_stop()` is true, which is asked at each step. `on_step` is told of every step. `on_epoch` is given
    each epoch that has ended (from 1) and the student, which it may put into evaluation mode; what it returns becomes
    a line of the log, and so travels with the state. Of several ranks the first alone calls `save`, `on_step` and
    `on_epoch`; any of them may ask to stop.
    Raises NonFiniteLoss, OutOfMemory, StudentError, InitialStudentError, StateError for a state that is damaged or another
    run's, and ValueError for data that does not fit together.
    """
    refuse_unfit(data)
    ranks = distributed.current_ranks()
    device = ranks.device(choose_device(config.system.device))
    steps = plan_batches(config, len(data.usable), ranks.count, num_few=len(data.few))
    built = build_student(
        config.student.architecture,
        width=data.texts.shape[1],
        image_px=config.student.image_px,
        seed=config.system.seed,
        pretrained=config.student.pretrained and resume is None and start is None,
        test_crop=config.student.test_crop,
    )
    model = ranks.own_copy(built.model, device)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    student = replace(built, model=model)
    objective = Objective(config, width=student.width, prompted=data.prompted).to(device)
    learner = nn.ModuleDict({"student": model, "objective": objective})  # what is stepped, saved and gone on with
    digests = dict(data.digests)
    if start is not None:
        start.load_into(model, objective.context)
        digests["start"] = start.digest
    optimizer = build_optimizer(learner, config)
    scaler = torch.amp.GradScaler(device.type, enabled=config.system.precision == "float16")
    average = WeightAverage(learner, config, steps.total_steps)
    identity = {"config": config.flat(), "width": student.width, "data": digests}
    position = TrainingPosition()
    if resume is not None:
        position = load_state(resume, learner, optimizer, identity, average=average, scaler=scaler)
    parallel = ranks.parallel(model, device)
    exact = config.system.deterministic or device.type == "cpu"  # then a run has the same kernels after a break
    left = steps.total_steps - (0 if exact else position.step)
    forward = torch.compile(parallel) if _compiles(config, device, left) else parallel
    texts, meter = data.texts.to(device), MetricsLog(config, steps, position)
    unseen = None if data.unseen is None else data.unseen.to(device)

    def keep() -> None:
        position.seconds = meter.seconds()
        if save is not None and ranks.first:
            save(lambda to: save_state(to, learner, optimizer, position, identity, average=average, scaler=scaler))
        meter.saved()

    def learn(part: Batch) -> dict[str, Tensor]:
        """The terms of a part of a batch, their gradients added to those that are there."""
        with torch.autocast(
            device.type, _DTYPES[config.system.precision], enabled=config.system.precision != "float32"
        ):
            seen = student.normalise(see_views(part.pixels, part.views, config.student.image_px))
            features = forward(seen.contiguous(memory_format=torch.channels_last))  # (B, D)
        terms: dict[str, Tensor] = objective(
            ObjectiveInputs(
                student=features,
                teacher=part.teacher,
                labels=part.labels,
                texts=texts,
                unseen=unseen,
                captions=part.captions,
                captioned=part.captioned,
            )
        )
        scaler.scale(objective.total(terms) / config.schedule.accumulate).backward()  # type: ignore[no-untyped-call]
        return terms

    with _settled(config, device), told_of_memory(config, steps.batch_size):
        for batch in batches(data, config, position.step, device, ranks):
            if ranks.any(should_stop is not None and should_stop()):
                keep()
                ranks.wait()
                raise Stopped(f"{position.step} of {steps.total_steps} steps done")
            lr = set_rates(optimizer, config, step=position.step, steps_per_epoch=steps.steps_per_epoch)
            torch.manual_seed(
                int(random_words(config.system.seed, position.step, ranks.rank) >> 1)
            )  # dropout too hangs on the step
            optimizer.zero_grad(set_to_none=True)
            terms = []
            for at, part in enumerate(batch.parts(config.schedule.accumulate), start=1):
                with ranks.gradients_later(parallel, at < config.schedule.accumulate):
                    terms.append(learn(part))
            ranks.mean_gradients(objective.parameters())
            values = finite(
                terms, [p.grad for p in learner.parameters() if p.grad is not None], scaler, position.step + 1
            )
            scaler.step(optimizer)
            scaler.update()
            position.step += 1
            average.update(position.step)
            metrics = meter.metrics(values, objective.weights, lr=lr, waited_s=batch.waited_s)
            if on_step is not None and ranks.first:
                on_step(metrics)
            if on_epoch is not None and ranks.first and position.step % steps.steps_per_epoch == 0:
                if found := on_epoch(metrics.epoch, student, objective.learned()):
                    position.log.append({"step": position.step, "epoch": metrics.epoch, **found})
                model.train()
            if meter.due():
                keep()
    last = average.swap_in()
    built.model.load_state_dict(model.state_dict())
    built.model.eval().to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return TrainResult(
        student=built,
        steps=position.step,
        seconds=position.seconds,
        log=position.log,
        last=last,
        context=objective.learned(),
    )


def choose_device(device: str) -> torch.device:
    """The device meant by `auto` (a GPU where there is one), `cpu` or `cuda`."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def _compiles(config: TrainConfig, device: torch.device, steps_left: int) -> bool:
    if config.system.compile != "auto":
        return config.system.compile == "on"
    if device.type == "cuda":
        return steps_left >= COMPILE_PAYS_STEPS
    return (
        steps_left * config.schedule.batch_size * config.student.image_px**2 >= COMPILE_PAYS_PIXELS and _has_compiler()
    )


def _has_compiler() -> bool:
    """Whether torch could build its kernels for a CPU here: they are C++, against Python's headers."""
    headers = Path(sysconfig.get_path("include"), "Python.h")
    return headers.exists() and shutil.which(os.environ.get("CXX", "g++")) is not None


@contextmanager
def _settled(config: TrainConfig, device: torch.device) -> Iterator[None]:
    """torch's own switches as the run wants them; on a GPU they are put back afterwards."""
    if config.system.threads is not None:
        torch.set_num_threads(config.system.threads)
    if device.type != "cuda":
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    if config.system.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(config.system.deterministic)
    torch.backends.cudnn.benchmark = not config.system.deterministic
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
