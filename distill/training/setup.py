"""Set-up of a training run: model, objective, optimizer, loss scaler, weight average, and the state to resume from.

`run = prepare_training(config, data)`; `distill.training.loop.train` then makes the steps. B images of a rank, K
labels, U unseen labels, D embedding width.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from distill.config.loss_registry import required_inputs
from distill.config.train_config import ObjectiveConfig, TrainConfig, WeightAverageConfig
from distill.json_types import JSONObject
from distill.losses.class_weights import class_weights
from distill.student.init_from_bundle import InitialStudent
from distill.student.initial_weights import weights_path, weights_sha256
from distill.student.model import Student, configured_student
from distill.texts.text_bank import LabelledTexts
from distill.training import distributed
from distill.training.device import choose_device, should_compile
from distill.training.distributed import RankGroup
from distill.training.guards import check_train_data
from distill.training.loader import BatchPlan, TrainData, plan_run
from distill.training.objective import Objective
from distill.training.schedules import build_optimizer
from distill.training.train_accuracy import TrainAccuracy
from distill.training.training_state import TrainingPosition, load_state, save_state
from distill.training.weight_average import WeightAverage


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainingRun:
    """The parts of a training run, on `device`; their contents change with every step.

    `learner`: student and objective in one module, whose parameters are trained and saved. `parallel`: the student's
    model, inside DistributedDataParallel if there are several ranks. `forward`: the same, compiled if that saves time.
    `built`: the student as built, which receives the final weights. `identity`: what a resumed run must have in common.
    `ema`: the moving average that the term `ema_mse` compares with. `texts` (K, D), `unseen` (U, D), `phrases` (P, D).
    `class_weights` (K,), None for equal weights. `label_texts`: every text of every label, with the label of each.
    """

    config: TrainConfig
    ranks: RankGroup
    device: torch.device
    plan: BatchPlan
    built: Student
    student: Student
    objective: Objective
    learner: nn.ModuleDict
    parallel: nn.Module
    forward: Callable[[Tensor], Tensor]
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: WeightAverage
    ema: WeightAverage | None
    position: TrainingPosition
    train_accuracy: TrainAccuracy
    identity: JSONObject
    texts: Tensor
    unseen: Tensor | None
    class_weights: Tensor | None
    phrases: Tensor | None
    label_texts: LabelledTexts | None

    def write_state(self, path: Path) -> None:
        """Write the training state to `path`, atomically."""
        self.position.train_counts = self.train_accuracy.counts()
        save_state(
            path,
            self.learner,
            self.optimizer,
            self.position,
            self.identity,
            average=self.average,
            ema=self.ema,
            scaler=self.scaler,
        )


def prepare_training(
    config: TrainConfig,
    data: TrainData,
    *,
    initial_student: InitialStudent | None = None,
    resume: Path | None = None,
    root: Path | None = None,
) -> TrainingRun:
    """Build a run: new, from the weights of `initial_student`, or from the training state in the file `resume`.

    `root`: the folder below which the weights of `config.student` must lie.
    Raises what `distill.training.loop.train` raises before its first step.
    """
    check_train_data(data)
    ranks = distributed.current_ranks()
    device = ranks.device(choose_device(config.system.device))
    plan = plan_run(config, data, ranks)
    built = configured_student(
        config.student,
        width=data.texts.shape[1],
        seed=config.system.seed,
        root=root,
        initialise=resume is None and initial_student is None,
        background=config.data.background,
    )
    model = ranks.with_sync_batch_norm(built.model, device)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    objective = Objective(
        config,
        width=built.width,
        prompted=data.prompted,
        num_images=len(data.usable),
        teacher_scale=data.teacher_scale,
        label_offset=data.label_offset,
    ).to(device)
    learner = nn.ModuleDict({"student": model, "objective": objective})
    digests = dict(data.digests)
    if initial_student is not None:
        initial_student.load_into(model, objective.context)
        digests["start"] = initial_student.digest
        built = replace(built, initial={"source": "the student of a bundle", "sha256": initial_student.digest})
        if initial_student.mean is not None and initial_student.std is not None:
            built = replace(built, mean=initial_student.mean, std=initial_student.std)
    if config.student.weights is not None:
        digests["initial_weights"] = weights_sha256(weights_path(config.student.weights, root))
    optimizer = build_optimizer(learner, config.optimizer)
    scaler = torch.amp.GradScaler(device.type, enabled=config.system.precision == "float16")
    average = WeightAverage(learner, config.weight_average, plan.total_steps)
    ema: WeightAverage | None = None
    if "ema" in required_inputs(config.objective.losses.above_zero()):
        decay = WeightAverageConfig(kind="ema", ema_decay=config.weight_average.ema_decay)
        ema = WeightAverage(learner, decay, plan.total_steps)
    identity: JSONObject = {"config": config.flat(), "width": built.width, "data": digests}
    position = TrainingPosition(initial=built.initial)
    if resume is not None:
        position = load_state(resume, learner, optimizer, identity, average=average, ema=ema, scaler=scaler)
        built = replace(built, initial=position.initial)
    exact = config.system.deterministic or device.type == "cpu"
    parallel = ranks.data_parallel(model, device, exact=exact)
    # A run that must be exact decides by all of its steps, so that it has the same kernels after it was resumed.
    compiled = should_compile(config, device, plan.total_steps - (0 if exact else position.step))
    return TrainingRun(
        config=config,
        ranks=ranks,
        device=device,
        plan=plan,
        built=built,
        student=replace(built, model=model),
        objective=objective,
        learner=learner,
        parallel=parallel,
        forward=torch.compile(parallel) if compiled else parallel,
        optimizer=optimizer,
        scaler=scaler,
        average=average,
        ema=ema,
        position=position,
        train_accuracy=TrainAccuracy(len(data.texts), device, position.train_counts),
        identity=identity,
        texts=data.texts.to(device),
        unseen=None if data.unseen is None else data.unseen.to(device),
        class_weights=_class_weights(config.objective, data, device),
        phrases=None if data.phrases is None else data.phrases.to(device),
        label_texts=None
        if data.label_texts is None
        else LabelledTexts(*(part.to(device) for part in data.label_texts)),
    )


def _class_weights(config: ObjectiveConfig, data: TrainData, device: torch.device) -> Tensor | None:
    """The weights (K,) of the labels by their usable training images; None for equal weights."""
    labels = torch.from_numpy(data.labels[data.usable])
    num_images = torch.bincount(labels[labels >= 0], minlength=len(data.texts))  # (K,)
    weights = class_weights(config.class_weights, num_images, beta=config.effective_beta)
    return None if weights is None else weights.to(device)
