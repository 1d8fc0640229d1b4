"""The objective of a run: all loss terms with a weight, the parameters they learn, and the queue of teacher features.

`terms = objective(ObjectiveInputs(...))` returns each term before its weight, and `objective.total(terms)` the loss.
With several ranks, each rank computes the terms of the whole batch from the features of all ranks. Terms that are no
mean over images (a contrast, a logarithm, a mean over a filtered subset) then have the value of one process with the
whole batch, and so have the gradients, once DDP has averaged them over ranks.
B images of a rank, K labels, U unseen labels, D embedding width, M learned vectors of width W.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.config.loss_registry import (
    LOSS_TERMS,
    LossTerm,
    TermInput,
    compares_images_only,
    needs_labels,
    required_inputs,
)
from distill.config.train_config import ObjectiveConfig, TrainConfig
from distill.data.splits import NO_LABEL
from distill.losses.gather import gather_rows
from distill.losses.precision import no_autocast, to_full_precision
from distill.losses.projector import Projector

PER_IMAGE = ("student", "teacher", "ema", "labels", "images", "captions", "captioned", "label_matrix")
"""The tensors with a row for each image of the batch."""

BANKS = frozenset[TermInput]({"phrases", "label_texts", "text_labels"})
"""The tensors of texts beside the labels' own (`distill.texts.text_bank`)."""

MAX_QUEUE = 65_536
UNKNOWN_IMAGE = -1
"""The number of an image in a queue that an earlier release saved."""

if TYPE_CHECKING:
    # This import loads the teacher's libraries, which an objective without learned vectors does not need.
    from distill.texts.prompt_learning import PromptedTexts


@dataclass(frozen=True, eq=False, kw_only=True)
class ObjectiveInputs:
    """Inputs of a step: features `student`, `teacher` (B, D); `labels` (B,) int64 within [0, K); `texts` (K, D).

    `images`: (B,) int64, the number of each image, for the loss term `neighbour`.
    `has_unlabelled`: whether some `labels` are -1; these images count in the terms that need no label.
    `captions`: (B, D), valid where `captioned` (B,) bool is true; None if the data has no captions.
    `unseen`: (U, D), texts of labels without images, if the loss term `unseen` has a weight. `class_weights`: (K,),
    None if all labels have the same weight. `phrases`: (P, D), a bank of attribute phrases. `label_texts`: (N, D) of
    every text of every label, and `text_labels` (N,). `label_matrix`: (B, K) uint8, 1 for the labels of an image, if
    the images have sets of labels; `labels` are then `LABEL_SET`. Without it, the terms that use it take the one label
    of each image.
    """

    student: Tensor
    teacher: Tensor
    labels: Tensor
    texts: Tensor
    images: Tensor | None = None
    captions: Tensor | None = None
    captioned: Tensor | None = None
    unseen: Tensor | None = None
    class_weights: Tensor | None = None
    phrases: Tensor | None = None
    label_texts: Tensor | None = None
    text_labels: Tensor | None = None
    has_unlabelled: bool = False
    label_matrix: Tensor | None = None
    ema: Tensor | None = None


class Predictions(NamedTuple):
    """The labels of labelled images, and the labels that the student gives them; both (B,) int64."""

    labels: Tensor
    predicted: Tensor


class Objective(nn.Module):
    """The weighted loss terms of a config. Its parameters are trained with the student; its buffers are saved too.

    `width`: D. `num_images`: to train on, for the size of the queue. `teacher_scale`, `label_offset`: of `TrainData`.
    `prompted`: the texts of the K labels, then of the unseen ones, which are encoded after the learned vectors; then
    only the number of `texts` and `unseen` of the inputs is used. Raises ValueError unless `prompted` has
    `context_tokens` vectors.
    """

    def __init__(
        self,
        config: TrainConfig,
        *,
        width: int,
        prompted: "PromptedTexts | None" = None,
        num_images: int = 0,
        teacher_scale: float | None = None,
        label_offset: float | None = None,
    ) -> None:
        super().__init__()
        num_tokens = prompted.num_tokens if prompted else 0
        if num_tokens != config.objective.context_tokens:
            raise ValueError(
                f"context_tokens is {config.objective.context_tokens}, but the texts have room for {num_tokens}"
            )
        self.weights: dict[str, float] = config.objective.losses.above_zero()
        known = {"affinity_scale": teacher_scale and 1 / teacher_scale, "label_offset": label_offset}
        self._terms = {name: _term_function(LOSS_TERMS[name], config.objective, known) for name in self.weights}
        self._required = required_inputs(self.weights)
        self._prompted = prompted
        self.predicted: Predictions | None = None  # of the last step, over all ranks
        self.context = nn.Parameter(prompted.initial(config.system.seed)) if prompted else None  # (M, W)
        kind = config.objective.projector
        self.projector = None if kind == "none" else Projector(kind, width, seed=config.system.seed)
        if "queue" in self._required:
            size = queue_size(config, num_images)
            self.register_buffer("queue", torch.zeros(size, width))
            self.register_buffer("num_queued", torch.zeros((), dtype=torch.int64))
        if "queue_images" in self._required:
            self.register_buffer("queue_images", torch.full((size,), UNKNOWN_IMAGE))

    def forward(self, inputs: ObjectiveInputs) -> dict[str, Tensor]:
        """Each term before its weight: a float32 scalar, also under autocast, equal on all ranks.

        Raises ValueError for inputs that lack what a term needs.
        """
        with no_autocast(inputs.student):
            teacher = gather_rows(to_full_precision(inputs.teacher))
            tensors: dict[str, Tensor | None] = {
                "student": gather_rows(to_full_precision(inputs.student)),
                "teacher": teacher,
                "labels": gather_rows(inputs.labels),
                "class_weights": inputs.class_weights,
                **self._texts(inputs),
            }
            for name in BANKS & self._required:
                tensors[name] = _required(getattr(inputs, name), name)
            if "captions" in self._required:
                tensors["captions"] = gather_rows(to_full_precision(_required(inputs.captions, "captions")))
                tensors["captioned"] = gather_rows(_required(inputs.captioned, "captions"))
            if "queue_images" in self._required:
                images = gather_rows(_required(inputs.images, "images"))
                tensors |= {"images": images, "queue_images": self._update_queue_images(images)}
            if "queue" in self._required:
                tensors["queue"] = self._update_queue(teacher)
            if "ema" in self._required:
                tensors["ema"] = gather_rows(to_full_precision(_required(inputs.ema, "ema")))
            if "label_matrix" in self._required:
                tensors["label_matrix"] = gather_rows(_label_matrix(inputs))
            labelled = _labelled(tensors) if inputs.has_unlabelled else tensors
            self.predicted = None if inputs.label_matrix is not None else _predicted(labelled)
            projected = tensors
            if self.projector is not None:
                own = self.projector(to_full_precision(inputs.student))
                projected = {**tensors, "student": gather_rows(own)}
            return {
                name: term(labelled if needs_labels(name) else projected if compares_images_only(name) else tensors)
                for name, term in self._terms.items()
            }

    def _texts(self, inputs: ObjectiveInputs) -> dict[str, Tensor]:
        if self._prompted is None or self.context is None:
            tensors = {"texts": to_full_precision(inputs.texts)}
            if "unseen" in self._required:
                tensors["unseen"] = to_full_precision(_required(inputs.unseen, "unseen"))
            return tensors
        encoded = self._prompted(self.context)  # (K + U, D)
        return {"texts": encoded[: len(inputs.texts)], "unseen": encoded[len(inputs.texts) :]}

    def _update_queue(self, teacher: Tensor) -> Tensor:
        """Put the batch's normalised features in front of the queue; returns the filled part of the queue."""
        queue, count = self.get_buffer("queue"), self.get_buffer("num_queued")
        filled = torch.cat([F.normalize(teacher.detach(), dim=-1), queue[: int(count)]])[: len(queue)]
        queue[: len(filled)] = filled
        count.fill_(len(filled))
        return filled

    def _update_queue_images(self, images: Tensor) -> Tensor:
        """The numbers of the images of the features that `_update_queue` returns; called before it."""
        queue, count = self.get_buffer("queue_images"), self.get_buffer("num_queued")
        filled = torch.cat([images, queue[: int(count)]])[: len(queue)]
        queue[: len(filled)] = filled
        return filled

    def learned_context(self) -> Tensor | None:
        """A copy of the learned vectors (M, W) on the CPU; None without learned vectors."""
        return None if self.context is None else self.context.detach().cpu().clone()

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The loss: the weighted sum of the terms of `forward`."""
        return torch.stack([self.weights[name] * value for name, value in terms.items()]).sum()


def queue_size(config: TrainConfig, num_images: int) -> int:
    """The teacher features in the queue: as configured, or as many as there are images, from one batch to 65,536."""
    given = config.objective.queue_size
    return min(MAX_QUEUE, max(config.schedule.batch_size, num_images)) if given is None else given


@torch.no_grad()
def _predicted(labelled: Mapping[str, Tensor | None]) -> Predictions:
    """The labels of the labelled images, and those whose texts are nearest to the student's features."""
    student, texts, labels = labelled["student"], labelled["texts"], labelled["labels"]
    assert student is not None
    assert texts is not None
    assert labels is not None
    return Predictions(labels, (student.detach() @ F.normalize(texts.detach(), dim=-1).T).argmax(dim=-1))


def _labelled(tensors: Mapping[str, Tensor | None]) -> dict[str, Tensor | None]:
    """The tensors without the rows of unlabelled images."""
    labels = tensors["labels"]
    assert labels is not None
    rows = torch.nonzero(labels != NO_LABEL).squeeze(1)
    selected = {name: tensor[rows] for name in PER_IMAGE if (tensor := tensors.get(name)) is not None}
    return {**tensors, **selected}


def _label_matrix(inputs: ObjectiveInputs) -> Tensor:
    """(B, K) uint8, 1 for the labels of an image; images without a label have none."""
    if inputs.label_matrix is not None:
        return inputs.label_matrix
    labels = torch.arange(len(inputs.texts), device=inputs.labels.device)
    return (inputs.labels[:, None] == labels[None, :]).to(torch.uint8)


def _required(tensor: Tensor | None, name: str) -> Tensor:
    if tensor is None:
        raise ValueError(f"a loss term needs {name}, but the data has none")
    return tensor


def _term_function(
    term: LossTerm, config: ObjectiveConfig, of_teacher: Mapping[str, float | None]
) -> Callable[[Mapping[str, Tensor | None]], Tensor]:
    """The function of a loss term, with its settings from `config`, as a function of all tensors by name."""
    file, _, name = term.function.partition(":")
    function: Callable[..., Tensor] = getattr(import_module(f"distill.losses.{file}"), name)
    settings = {keyword: _setting(config, field, of_teacher) for keyword, field in term.settings.items()}
    return lambda tensors: function(*(tensors[name] for name in term.inputs), **settings)


def _setting(config: ObjectiveConfig, field: str, of_teacher: Mapping[str, float | None]) -> object:
    """A setting of a loss term; `affinity_scale` as the temperature that it means. `of_teacher`: of fields that are
    "teacher"."""
    value: object = getattr(config, field)
    if field == "affinity_scale" and value == "temperature":
        return config.temperature
    if value != "teacher":
        return value
    if (found := of_teacher[field]) is None:
        what = "logit scale" if field == "affinity_scale" else "offset"
        raise ValueError(f"{field} is teacher, but the data has no {what} of a teacher")
    return found
