"""The training of a student (arXiv:2307.03135): batch, targets, losses, step; stopped and gone on with at any step.

Run by `python -m distill` and by the service's workers. Which images, crops and dropped units a step sees, and at which
rate, are functions of the seed and the step's number, so that a run that was killed in mid-epoch and went on from
its last state ends with the weights of one that never stopped (on a CPU to the bit, at a fixed number of threads).
B images, K labels, D embedding width.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from distill import Stopped
from distill.augment import see_views
from distill.batches import Plan, TrainData, batches, plan
from distill.chance import words
from distill.config import TrainConfig
from distill.objective import Inputs, Objective
from distill.schedules import build_optimizer, set_rates
from distill.state import Position, load_state, save_state
from distill.student import Student, build_student

LOG_LINES = 2000
RATE_OVER_STEPS = 50
# Flushing a state to disk may take longer than an epoch over few pictures does.
SHORT_EPOCH_S = 5.0

WriteState = Callable[[Path], None]
SaveState = Callable[[WriteState], None]
OnEpoch = Callable[[int, Student], Mapping[str, Any] | None]


class NonFiniteLoss(RuntimeError):
    """A loss term that is not a number; the step was not made. `step` (from 1) and `term` say where."""

    def __init__(self, step: int, term: str, value: float) -> None:
        super().__init__(f"step {step}: loss term {term} is {value}; lower lr, or train in float32")
        self.step, self.term = step, term


@dataclass(frozen=True, kw_only=True)
class StepMetrics:
    """What is known after a step. `step` and `epoch` count from 1; `losses` holds each term before its weight.

    `loss`: the weighted sum. `images_per_s`, `eta_s` and `data_wait` (share of the time spent waiting for images) are
    of the last steps.
    """

    step: int
    total_steps: int
    epoch: int
    epochs: int
    loss: float
    losses: Mapping[str, float]
    lr: float
    images_per_s: float
    eta_s: float
    data_wait: float


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainResult:
    """A trained student, in evaluation mode on the CPU; `log`: its steps, thinned out to some 2,000 lines.

    `context`: the vectors (M, W) learned for the texts (`distill.context.with_context` puts them there), if any.
    """

    student: Student
    steps: int
    seconds: float
    log: list[dict[str, Any]]
    context: Tensor | None = None


def train(
    config: TrainConfig,
    data: TrainData,
    *,
    resume: Path | None = None,
    save: SaveState | None = None,
    on_step: Callable[[StepMetrics], None] | None = None,
    on_epoch: OnEpoch | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> TrainResult:
    """Train a student as `config` asks, from its beginning or from the state in `resume`.

    `save` is called with a function that writes the state, atomically, to the path it is given: after an epoch (not
    more often than every 5 s), after each `save_every_s` seconds, at the end, and before Stopped is raised because
    `should_stop()` is true, which is asked at each step. `on_step` is told of every step. `on_epoch` is given
    each epoch that has ended (from 1) and the student, which it may put into evaluation mode; what it returns becomes
    a line of the log, and so travels with the state.
    Raises NonFiniteLoss, StudentError, StateError for a state that is damaged or another run's, and ValueError for
    data that does not fit together.
    """
    _refuse_unfit(data)
    device = choose_device(config.device)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    steps = plan(config, len(data.usable))
    student = build_student(
        config.student,
        width=data.texts.shape[1],
        image_px=config.image_px,
        seed=config.seed,
        pretrained=config.pretrained and resume is None,
        test_crop=config.test_crop,
    )
    model = student.model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    objective = Objective(config, width=student.width, prompted=data.prompted).to(device)
    learner = nn.ModuleDict({"student": model, "objective": objective})  # what is stepped, saved and gone on with
    optimizer = build_optimizer(learner, config)
    identity = {"config": config.model_dump(mode="json"), "width": student.width, "data": dict(data.digests)}
    position = load_state(resume, learner, optimizer, identity) if resume is not None else Position()
    texts, meter = data.texts.to(device), _Meter(steps, position)
    unseen = None if data.unseen is None else data.unseen.to(device)

    def keep() -> None:
        position.seconds = meter.seconds()
        if save is not None:
            save(lambda path: save_state(path, learner, optimizer, position, identity))
        meter.saved()

    for batch in batches(data, config, position.step, device):
        if should_stop is not None and should_stop():
            keep()
            raise Stopped(f"{position.step} of {steps.total_steps} steps done")
        lr = set_rates(optimizer, config, step=position.step, steps_per_epoch=steps.steps_per_epoch)
        torch.manual_seed(int(words(config.seed, position.step) >> 1))  # dropout too is a function of the step
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
            seen = student.normalise(see_views(batch.pixels, batch.views, config.image_px))
            features = model(seen.contiguous(memory_format=torch.channels_last))  # (B, D)
        terms = objective(
            Inputs(
                student=features,
                teacher=batch.teacher,
                labels=batch.labels,
                texts=texts,
                unseen=unseen,
                captions=batch.captions,
                captioned=batch.captioned,
            )  # fmt: skip
        )
        values = _finite(terms, position.step + 1)
        loss = objective.total(terms)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        position.step += 1
        metrics = meter.metrics(config, values, lr=lr, waited_s=batch.waited_s)
        if on_step is not None:
            on_step(metrics)
        if on_epoch is not None and position.step % steps.steps_per_epoch == 0:
            if found := on_epoch(metrics.epoch, student):
                position.log.append({"step": position.step, "epoch": metrics.epoch, **found})
            model.train()
        if meter.due(position.step, config.save_every_s):
            keep()
    model.eval().to("cpu", memory_format=torch.contiguous_format)
    context = None if objective.context is None else objective.context.detach().cpu()
    return TrainResult(
        student=student, steps=position.step, seconds=position.seconds, log=position.log, context=context
    )


def choose_device(device: str) -> torch.device:
    """The device meant by `auto` (a GPU where there is one), `cpu` or `cuda`."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def _finite(terms: Mapping[str, Tensor], step: int) -> dict[str, float]:
    values = dict(zip(terms, torch.stack([term.detach() for term in terms.values()]).tolist(), strict=True))
    for name, value in values.items():
        if not math.isfinite(value):
            raise NonFiniteLoss(step, name, value)
    return values


def _refuse_unfit(data: TrainData) -> None:
    rows = len(data.pixels)
    if not rows == len(data.labels) == len(data.teacher):
        raise ValueError(f"{rows} pictures, {len(data.labels)} labels and {len(data.teacher)} teacher features")
    width = data.live.teacher.width if data.live is not None else data.teacher.shape[2]
    if width != data.texts.shape[1]:
        raise ValueError(f"teacher features of width {width}, texts of {data.texts.shape[1]}")
    used = data.labels[data.usable]
    if len(used) and not 0 <= used.min() <= used.max() < len(data.texts):
        raise ValueError(f"labels outside the {len(data.texts)} texts")
    finite = torch.isfinite(data.teacher[data.usable]).all(dim=2).all(dim=1)
    if not finite.all() or not torch.isfinite(data.texts).all():
        raise ValueError(f"{int((~finite).sum())} teacher image features or some text features are not finite")


class _Meter:
    """Speed over the last steps, seconds in all, and the lines of the log."""

    def __init__(self, steps: Plan, position: Position) -> None:
        self._steps, self._position = steps, position
        self._started = self._saved = time.monotonic()
        self._before = position.seconds
        self._recent: deque[tuple[float, float]] = deque([(self._started, 0.0)], maxlen=RATE_OVER_STEPS + 1)
        self._every = max(1, steps.total_steps // LOG_LINES)

    def seconds(self) -> float:
        return self._before + time.monotonic() - self._started

    def saved(self) -> None:
        self._saved = time.monotonic()

    def due(self, step: int, save_every_s: float) -> bool:
        """Whether to save now: time is up, all is done, or an epoch is done and the last state not of just now."""
        since_s = time.monotonic() - self._saved
        ended = step % self._steps.steps_per_epoch == 0 and since_s >= SHORT_EPOCH_S
        return since_s >= save_every_s or ended or step == self._steps.total_steps

    def metrics(self, config: TrainConfig, values: Mapping[str, float], *, lr: float, waited_s: float) -> StepMetrics:
        step, steps = self._position.step, self._steps
        self._recent.append((time.monotonic(), waited_s))
        took_s = max(self._recent[-1][0] - self._recent[0][0], 1e-9)
        made = len(self._recent) - 1
        metrics = StepMetrics(
            step=step,
            total_steps=steps.total_steps,
            epoch=(step - 1) // steps.steps_per_epoch + 1,
            epochs=config.epochs,
            loss=sum(config.losses.above_zero()[name] * value for name, value in values.items()),
            losses=values,
            lr=lr,
            images_per_s=made * steps.batch_size / took_s,
            eta_s=(steps.total_steps - step) * took_s / made,
            data_wait=min(1.0, sum(waited for _, waited in list(self._recent)[1:]) / took_s),
        )
        if step % self._every == 0 or step == steps.total_steps:
            self._position.log.append(_rounded(asdict(metrics)))
        return metrics


def _rounded(line: Mapping[str, Any]) -> dict[str, Any]:
    """Six digits are enough to read; the log travels with every saved state."""
    return {
        name: _rounded(value)
        if isinstance(value, Mapping)
        else float(f"{value:.6g}")
        if isinstance(value, float)
        else value
        for name, value in line.items()
    }
