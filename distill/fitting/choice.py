"""Chooses the settings that a config leaves to the worker: batch size, precision, and with a time budget the length.

    choice = TrainingChoice(config, saved=state, note=print)
    config = choice.before_views(teacher, paths, num_images=…)
    data = training_data(config, …)
    config = choice.before_steps(data)
    train(config, data, …)

A time budget is fitted twice: before the images are read, by rates on random data, and after it, by the time that is
left and the first steps on the images of the training. A run that resumes takes what its training state holds, and
measures nothing. With several ranks, all of them call both methods, and the first rank decides.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from distill.config.automatic import DeviceFacts, chosen_settings, fit_to_device, needs_device, with_chosen
from distill.config.batch_plan import BatchPlan, plan_batches
from distill.config.time_budget import Prepared, Rates, chosen_text, duration, fit_to_time
from distill.config.train_config import TrainConfig
from distill.config.training_estimate import num_pool_images
from distill.data.image_index import ImageIndex
from distill.evaluation.measured_images import image_paths
from distill.fitting.device_facts import device_facts, student_facts
from distill.fitting.rates import first_rates, step_seconds
from distill.image_encoding import few_shot_rows
from distill.teacher.teacher import Teacher
from distill.training.device import choose_device
from distill.training.distributed import current_ranks
from distill.training.loader import TrainData, plan_run
from distill.training.training_state import saved_settings
from limbeck.shared.text import counted, time_text

Note = Callable[[str], None]


class TrainingChoice:
    """The choice of one attempt of a training. `saved`: its training state, if there is one. `note`: gets a line for
    each choice, on the first rank."""

    def __init__(self, config: TrainConfig, *, saved: Path | None, note: Note, root: Path | None = None) -> None:
        self.config = config
        self._root = root
        self._note: Note = note if current_ranks().is_first else lambda _line: None
        self._started = time.monotonic()
        self._rates: Rates | None = None
        self._is_decided = not needs_device(config)
        if not self._is_decided and saved is not None:
            self.config, self._is_decided = with_chosen(config, saved_settings(saved)), True
            self._note(f"resumes with the settings of its training state: {settings_text(self.config)}")

    def before_views(self, teacher: Teacher, image_index: ImageIndex, images_root: Path | None = None) -> TrainConfig:
        """The config before the teacher's views are encoded. Raises TimeBudgetTooShort and StudentError."""
        if self._is_decided:
            return self.config
        ranks, config = current_ranks(), self.config
        few = len(few_shot_rows(config, image_index))
        unlabelled = num_pool_images(config, len(image_index.part("unlabelled")))
        labelled = len(image_index.part("train")) + few
        device = ranks.device(choose_device(config.system.device))
        width = len(image_index.id_labels) if config.data.protocol == "closed_set" else teacher.width
        facts, student = device_facts(device), student_facts(config, width, self._root)
        config = ranks.from_first(fit_to_device(config, facts, student, ranks.world_size))
        if {"batch_size", "precision"} & {*config.schedule.automatic}:
            self._note(_device_text(self.config, config, facts))
        if (seconds := config.schedule.time_budget_s) is not None:
            plan = plan_batches(config, labelled, ranks.world_size, num_few=few, has_unlabelled=unlabelled > 0)
            paths = image_paths(image_index, image_index.part("train"), images_root)
            self._rates = rates = ranks.from_first(first_rates(config, teacher, paths, self._root, plan.batch_size))
            left = ranks.from_first(seconds - self._elapsed())
            config = fit_to_time(config, plan, labelled + unlabelled, rates, left)
            self._note(_text(config, plan, labelled + unlabelled, rates))
        self.config = config
        return config

    def before_steps(self, data: TrainData) -> TrainConfig:
        """The config of the training on `data`. Raises TimeBudgetTooShort."""
        seconds, ranks = self.config.schedule.time_budget_s, current_ranks()
        if self._is_decided or seconds is None or self._rates is None:
            return self.config
        measured = ranks.from_first(step_seconds(self.config, data, self._root))
        rates = replace(self._rates, step_s=measured, step_has_views=True)
        missing = 0.0 if data.to_encode is None else float(data.to_encode.missing[data.usable].mean())
        prepared = Prepared(missing=ranks.from_first(missing))
        plan, spent_s = plan_run(self.config, data, ranks), ranks.from_first(self._elapsed())
        num_images = len(data.usable)
        self.config = fit_to_time(self.config, plan, num_images, rates, seconds - spent_s, prepared=prepared)
        expected = duration(self.config, plan, num_images, rates, prepared)
        views = f" with {time_text(expected.views)} for teacher views" if expected.views >= 1 else ""
        self._note(
            f"time budget {time_text(seconds)}: {counted(self.config.schedule.epochs, 'epoch')}, "
            f"{counted(plan.steps_per_epoch * self.config.schedule.epochs, 'step')} in about "
            f"{time_text(expected.total)}{views}, because {time_text(spent_s)} are spent and the first steps trained "
            f"{plan.batch_size / measured:,.1f} images/s"
        )
        return self.config

    def _elapsed(self) -> float:
        return time.monotonic() - self._started


def settings_text(config: TrainConfig) -> str:
    """`epochs 12, num_views 4, …`: the settings that a worker chooses."""
    return ", ".join(f"{name} {value}" for name, value in chosen_settings(config).items() if name != "milestones")


def _device_text(before: TrainConfig, config: TrainConfig, device: DeviceFacts) -> str:
    """One line: what follows from the device."""
    wanted, size = before.schedule.batch_size, config.schedule.batch_size
    memory = f"{device.memory_bytes / 1e9:,.1f} GB of memory are free"
    batch = f"batch size {size} ({memory})" if size == wanted else f"batch size {size} and not {wanted}: {memory}"
    return f"{batch}; learning rate {config.optimizer.lr:g}; {config.system.precision} on the {device.kind.upper()}"


def _text(config: TrainConfig, plan: BatchPlan, num_images: int, rates: Rates) -> str:
    return chosen_text(config, duration(config, plan, num_images, rates), plan, rates)
