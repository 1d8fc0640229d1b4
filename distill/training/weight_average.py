"""Weight average: the mean of the student's weights over steps, either a plain mean or an exponential moving average.

The plain mean from a start step on follows Berezovskiy & Morozov 2023 (weight averaging in distillation for domain
generalisation). Running statistics of normalisation layers are averaged like weights, as in timm's ModelEma; integer
counters keep their last value. The number of averaged steps follows from the step number, so that a training state
holds the averages only.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from distill.config.train_config import WeightAverageConfig


class WeightAverage:
    """The average of the parameters of `learner` and of the floating-point buffers of its student, in float32.

    `learner`: a module with the submodule `student`. Averaging starts with step `average_from` * `total_steps`, at
    least 1. `tensors`: the averages so far, on the device of the learner.
    """

    def __init__(self, learner: nn.Module, config: WeightAverageConfig, total_steps: int) -> None:
        self._learner, self._config = learner, config
        self._first_step = max(1, round(config.average_from * total_steps))
        self.tensors: dict[str, Tensor] = {}

    def update(self, step: int) -> None:
        """Add the weights after `step` (from 1) to the average."""
        if self._config.kind == "off" or step < self._first_step:
            return
        current = self._current()
        if not self.tensors:
            self.tensors = {name: tensor.clone() for name, tensor in current.items()}
            return
        num_before = step - self._first_step
        share = 1 / (num_before + 1) if self._config.kind == "mean" else 1 - self._config.ema_decay
        torch._foreach_lerp_([self.tensors[name] for name in current], list(current.values()), share)

    def load(self, saved: Mapping[str, Tensor]) -> None:
        """Restore the `tensors` of a training state."""
        current = self._current()
        self.tensors = {name: torch.empty_like(current[name]).copy_(tensor) for name, tensor in saved.items()}

    def student_tensors(self) -> dict[str, Tensor]:
        """The averages of the student's own weights, by their names in the student; empty before the first update."""
        prefix = "student."
        return {name.removeprefix(prefix): own for name, own in self.tensors.items() if name.startswith(prefix)}

    def swap_in(self) -> dict[str, Tensor] | None:
        """Copy the average into the learner; returns the student's weights before that, on the CPU.

        Does nothing and returns None without an average.
        """
        if not self.tensors:
            return None
        student: nn.Module = self._learner.get_submodule("student")
        last = {name: tensor.detach().cpu().clone() for name, tensor in student.state_dict().items()}
        self._copy_in(self.tensors)
        return last

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """In the block, the learner has the average, if there is one. Its weights are then restored, bit for bit."""
        if not self.tensors:
            yield
            return
        weights = {name: tensor.clone() for name, tensor in self._current().items()}
        self._copy_in(self.tensors)
        try:
            yield
        finally:
            self._copy_in(weights)

    def _copy_in(self, tensors: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, tensor in self._current().items():
                tensor.copy_(tensors[name])

    def _current(self) -> dict[str, Tensor]:
        parameters = {name: parameter.detach() for name, parameter in self._learner.named_parameters()}
        buffers = self._learner.get_submodule("student").named_buffers(prefix="student")
        return parameters | {name: buffer for name, buffer in buffers if buffer.is_floating_point()}
