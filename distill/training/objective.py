"""The objective of a run: every term that has a weight, with what they learn and remember between steps.

`terms = objective(ObjectiveInputs(...))` gives each term before its weight, and `objective.total(terms)` the loss. With several
ranks each works out the terms of the whole batch from the features of all: then those that are no mean over images (a
contrast, a logarithm, a mean over those that pass) are what one process on the joined batch gives, and so are the
gradients once they are averaged over ranks, as DDP does.
B images of a rank, K labels, U unseen labels, D embedding width.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.config.loss_registry import LOSS_TERMS, LossTerm, required_inputs
from distill.config.train_config import TrainConfig
from distill.losses.gather import gather
from distill.losses.precision import full, full_precision

if TYPE_CHECKING:
    # Loads the teacher's libraries, which an objective without learned vectors has no use for.
    from distill.texts.prompt_learning import PromptedTexts

__all__ = ["ObjectiveInputs", "Objective"]


@dataclass(frozen=True, eq=False, kw_only=True)
class ObjectiveInputs:
    """What a step has: features `student` and `teacher` (B, D), `labels` (B,) int64 within K, `texts` (K, D).

    `captions`: (B, D), of those that are `captioned` (B,) bool; None where there are none at all.
    `unseen`: (U, D), the texts of labels without images, where the term of that name has a weight.
    """

    student: Tensor
    teacher: Tensor
    labels: Tensor
    texts: Tensor
    captions: Tensor | None = None
    captioned: Tensor | None = None
    unseen: Tensor | None = None


class Objective(nn.Module):
    """The terms of a config. Its parameters are learned with the student, its buffers belong to the run's state.

    `width`: D. `prompted`: the texts of the K labels, and after them of the unseen ones, to be encoded behind learned
    vectors; then `texts` and `unseen` of the inputs are counted and not used. Raises ValueError where the config
    wants vectors and there are no such texts, or the other way round.
    """

    def __init__(self, config: TrainConfig, *, width: int, prompted: "PromptedTexts | None" = None) -> None:
        super().__init__()
        if (prompted.num_tokens if prompted else 0) != config.objective.context_tokens:
            raise ValueError(
                f"context_tokens is {config.objective.context_tokens}, and the texts are not made for that many"
            )
        self.weights: dict[str, float] = config.objective.losses.above_zero()
        self._terms = {name: _bound(LOSS_TERMS[name], config) for name in self.weights}
        self._needs = required_inputs(self.weights)
        self._prompted = prompted
        self.context = nn.Parameter(prompted.initial(config.system.seed)) if prompted else None
        if "queue" in self._needs:
            self.register_buffer("queue", torch.zeros(config.objective.queue_size, width))
            self.register_buffer("num_queued", torch.zeros((), dtype=torch.int64))

    def forward(self, inputs: ObjectiveInputs) -> dict[str, Tensor]:
        """Each term before its weight, a float32 scalar whatever autocast is doing; alike on all ranks.

        Raises ValueError for inputs that lack what a term needs.
        """
        with full_precision(inputs.student):
            given = {
                "student": gather(full(inputs.student)),
                "teacher": gather(full(inputs.teacher)),
                "labels": gather(inputs.labels),
                **self._texts(inputs),
            }
            if "captions" in self._needs:
                given["captions"] = gather(full(_present(inputs.captions, "captions")))
                given["captioned"] = gather(_present(inputs.captioned, "captions"))
            if "queue" in self._needs:
                given["queue"] = self._with_remembered(given["teacher"])
            return {name: term(given) for name, term in self._terms.items()}

    def _texts(self, inputs: ObjectiveInputs) -> dict[str, Tensor]:
        if self._prompted is None or self.context is None:
            given = {"texts": full(inputs.texts)}
            return given | ({"unseen": full(_present(inputs.unseen, "unseen"))} if "unseen" in self._needs else {})
        rendered = self._prompted(self.context)  # (K + U, D)
        return {"texts": rendered[: len(inputs.texts)], "unseen": rendered[len(inputs.texts) :]}

    def _with_remembered(self, teacher: Tensor) -> Tensor:
        """The batch's features, normalised, and those of the batches before it, the newest first; remembered."""
        queue, count = self.get_buffer("queue"), self.get_buffer("num_queued")
        remembered = torch.cat([F.normalize(teacher.detach(), dim=-1), queue[: int(count)]])[: len(queue)]
        queue[: len(remembered)] = remembered
        count.fill_(len(remembered))
        return remembered

    def learned(self) -> Tensor | None:
        """The learned vectors (M, W) as they are now, on the CPU; None where there are none."""
        return None if self.context is None else self.context.detach().cpu().clone()

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The loss: the weighted sum of what `forward` gave."""
        return torch.stack([self.weights[name] * value for name, value in terms.items()]).sum()


def _present(part: Tensor | None, name: str) -> Tensor:
    if part is None:
        raise ValueError(f"the objective has a term that needs {name}, and there are none")
    return part


def _bound(term: LossTerm, config: TrainConfig) -> Callable[[Mapping[str, Tensor]], Tensor]:
    """The term's function as one of what there is, with its settings taken from `config`."""
    file, _, name = term.function.partition(":")
    function: Callable[..., Tensor] = getattr(import_module(f"distill.losses.{file}"), name)
    settings = {keyword: getattr(config.objective, field) for keyword, field in term.settings.items()}
    return lambda given: function(*(given[need] for need in term.needs), **settings)
