"""The objective of a run: every term that has a weight, with what they learn and remember between steps.

`terms = objective(Inputs(...))` gives each term before its weight, and `objective.total(terms)` the loss. With several
ranks each works out the terms of the whole batch from the features of all: then those that are no mean over images (a
contrast, a logarithm, a mean over those that pass) are what one process on the joined batch gives, and so are the
gradients once they are averaged over ranks, as DDP does.
B images of a rank, K labels, D embedding width.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module

import torch
from torch import Tensor, nn

from distill.config import TrainConfig
from distill.losses.gather import gather
from distill.losses.precision import full, full_precision
from distill.terms import TERMS, Term

__all__ = ["Inputs", "Objective"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Inputs:
    """What a step has: features `student` and `teacher` (B, D), `labels` (B,) int64 within K, `texts` (K, D)."""

    student: Tensor
    teacher: Tensor
    labels: Tensor
    texts: Tensor


class Objective(nn.Module):
    """The terms of a config. Its parameters are learned with the student, its buffers belong to the run's state."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.weights: dict[str, float] = config.losses.above_zero()
        self._terms = {name: _bound(TERMS[name], config) for name in self.weights}

    def forward(self, inputs: Inputs) -> dict[str, Tensor]:
        """Each term before its weight, a float32 scalar whatever autocast is doing; alike on all ranks."""
        with full_precision(inputs.student):
            given = {
                "student": gather(full(inputs.student)),
                "teacher": gather(full(inputs.teacher)),
                "labels": gather(inputs.labels),
                "texts": full(inputs.texts),
            }
            return {name: term(given) for name, term in self._terms.items()}

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The loss: the weighted sum of what `forward` gave."""
        return torch.stack([self.weights[name] * value for name, value in terms.items()]).sum()


def _bound(term: Term, config: TrainConfig) -> Callable[[Mapping[str, Tensor]], Tensor]:
    """The term's function as one of what there is, with its settings taken from `config`."""
    file, _, name = term.function.partition(":")
    function: Callable[..., Tensor] = getattr(import_module(f"distill.losses.{file}"), name)
    settings = {keyword: getattr(config, field) for keyword, field in term.settings.items()}
    return lambda given: function(*(given[need] for need in term.needs), **settings)
