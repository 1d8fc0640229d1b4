"""A second student whose weights are the average of the first one's: a plain running mean, or an exponential one.

The plain mean from a start step on is that of Berezovskiy & Morozov 2023 (method note on weight averaging in
distillation for domain generalisation). Running statistics of normalisation layers are averaged as weights are, as
timm's ModelEma does; counters are taken as they stand. What has been averaged is a function of the steps made, so that
the averages are all that a saved state need hold.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from distill.config.train_config import TrainConfig


class Average:
    """The average of `learner`'s parameters and of its student's floating-point buffers, in float32 on their device.

    `learner`: a module whose `student` is the student's model; what else it has learns with it. Starts with the step
    (from 1) that `config.weight_average.average_from` of `total_steps` comes to.
    """

    def __init__(self, learner: nn.Module, config: TrainConfig, total_steps: int) -> None:
        self._learner, self._config = learner, config
        self._first = max(1, round(config.weight_average.average_from * total_steps))
        self.tensors: dict[str, Tensor] = {}

    def update(self, step: int) -> None:
        """Take in the weights that `step` (from 1) left."""
        if self._config.weight_average.kind == "off" or step < self._first:
            return
        live = self._live()
        if not self.tensors:
            self.tensors = {name: tensor.clone() for name, tensor in live.items()}
            return
        seen = step - self._first  # weights taken in before these
        share = (
            1 / (seen + 1) if self._config.weight_average.kind == "mean" else 1 - self._config.weight_average.ema_decay
        )
        torch._foreach_lerp_([self.tensors[name] for name in live], list(live.values()), share)

    def load(self, saved: Mapping[str, Tensor]) -> None:
        """Go on from the `tensors` of an earlier sitting."""
        live = self._live()
        self.tensors = {name: torch.empty_like(live[name]).copy_(tensor) for name, tensor in saved.items()}

    def swap_in(self) -> dict[str, Tensor] | None:
        """Give the learner the average, where there is one, and return the student's own last weights on the CPU."""
        if not self.tensors:
            return None
        student: nn.Module = self._learner.get_submodule("student")
        last = {name: tensor.detach().cpu().clone() for name, tensor in student.state_dict().items()}
        with torch.no_grad():
            for name, tensor in self._live().items():
                tensor.copy_(self.tensors[name])
        return last

    def _live(self) -> dict[str, Tensor]:
        named = {name: parameter.detach() for name, parameter in self._learner.named_parameters()}
        buffers = self._learner.get_submodule("student").named_buffers(prefix="student")
        return named | {name: buffer for name, buffer in buffers if buffer.is_floating_point()}
