"""The loss registry: name, inputs, settings and default weight of each loss term. Imports no torch.

To add a term, add a file to `distill/losses/` and an entry here: the fields of
`distill.config.sections.losses.LossWeights` are these names, and `distill.training.objective` calls the function with
the inputs that the entry lists. B images, K labels, D embedding width, Q features in the queue, U unseen labels.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

TermInput = Literal[
    "student",
    "teacher",
    "labels",
    "images",
    "texts",
    "captions",
    "captioned",
    "queue",
    "queue_images",
    "unseen",
    "class_weights",
    "phrases",
    "label_texts",
    "text_labels",
    "ema",
    "label_matrix",
]
"""An input of a loss term.

Features `student` and `teacher` (B, D); `labels` (B,); text features `texts` (K, D); caption features `captions` (B, D)
and the mask `captioned` (B,); teacher features of this and earlier batches, `queue` (Q, D); the numbers of their
images, `queue_images` (Q,), and of the images of the batch, `images` (B,); text features of unseen labels, `unseen` (U,
D); `class_weights` (K,), None if all labels have the same weight; text features of attribute phrases, `phrases` (P, D);
those of every text of every label, `label_texts` (N, D), and their labels, `text_labels` (N,); those of the student's
moving average, `ema` (B, D); `label_matrix` (B, K),
whether an image has a label, for images with several.
"""


@dataclass(frozen=True, kw_only=True)
class LossTerm:
    """`title`: for display. `function`: `file:name` in `distill.losses`. `inputs`: its positional arguments.

    `settings`: its keyword arguments, each with the field of `ObjectiveConfig` that supplies it. `weight`: the default.
    """

    title: str
    function: str
    inputs: tuple[TermInput, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    weight: float = 0.0


LOSS_TERMS: Mapping[str, LossTerm] = {
    "cls": LossTerm(
        title="L-cls, classification among the texts of the labels",
        function="text_classification:text_classification",
        inputs=("student", "texts", "labels", "class_weights"),
        settings={"temperature": "temperature"},
        weight=1.0,
    ),
    "mse": LossTerm(
        title="L-mse, distance to the teacher's image feature",
        function="feature_mse:feature_mse",
        inputs=("student", "teacher"),
        settings={"form": "mse_form"},
        weight=1.0,
    ),
    "im_cst": LossTerm(
        title="L-im-cst, contrastive matching of student and teacher images",
        function="image_contrastive:image_contrastive",
        inputs=("student", "teacher"),
        settings={"temperature": "temperature", "mode": "im_cst_mode"},
        weight=1.0,
    ),
    "vlalign": LossTerm(
        title="L-vlalign, the teacher's ranking of the labels' texts",
        function="text_alignment:text_alignment",
        inputs=("student", "teacher", "texts", "labels"),
        settings={
            "temperature": "temperature",
            "top_k": "vlalign_top_k",
            "only_right": "vlalign_only_right",
            "teacher_gradient": "vlalign_teacher_gradient",
        },
    ),
    "cap": LossTerm(
        title="L-cap, contrastive matching of images and captions",
        function="caption_contrastive:caption_contrastive",
        inputs=("student", "captions", "captioned", "labels"),
        settings={"temperature": "cap_temperature"},
    ),
    "queue_kl": LossTerm(
        title="queue KL, similarities to a queue of teacher features",
        function="queue_alignment:queue_alignment",
        inputs=("student", "teacher", "queue"),
        settings={"temperature": "temperature"},
    ),
    "icl": LossTerm(
        title="ICL, interactive contrastive learning (CLIP-KD, with weight 1)",
        function="interactive_contrastive:interactive_contrastive",
        inputs=("student", "teacher", "texts", "labels"),
        settings={"temperature": "temperature"},
    ),
    "fd": LossTerm(
        title="FD, feature distance (CLIP-KD, with weight 2000)",
        function="feature_distance:feature_distance",
        inputs=("student", "teacher"),
    ),
    "affinity": LossTerm(
        title="affinity mimicking (TinyCLIP)",
        function="affinity:affinity",
        inputs=("student", "teacher", "texts"),
        settings={"temperature": "affinity_scale"},
    ),
    "neighbour": LossTerm(
        title="nearest-neighbour guidance (CLIP-PING)",
        function="nearest_neighbour:nearest_neighbour",
        inputs=("student", "teacher", "queue", "images", "queue_images"),
        settings={"temperature": "temperature"},
    ),
    "closed_set": LossTerm(
        title="the closed-set classifier, a baseline",
        function="closed_set:closed_set",
        inputs=("student", "labels", "class_weights"),
    ),
    "unseen": LossTerm(
        title="classification of features synthesised for unseen labels (OGEN)",
        function="unseen_classification:unseen_classification",
        inputs=("student", "texts", "labels", "unseen"),
        settings={"temperature": "temperature", "num_nearest": "unseen_neighbours"},
    ),
    "phrase_kl": LossTerm(
        title="phrase alignment, the teacher's ranking of a bank of attribute phrases",
        function="phrase_alignment:phrase_alignment",
        inputs=("student", "teacher", "phrases"),
        settings={"temperature": "phrase_temperature", "top_k": "phrase_top_k"},
    ),
    "ema_mse": LossTerm(
        title="distance to the features of the student's own moving average (mean teacher)",
        function="feature_mse:feature_mse",
        inputs=("student", "ema"),
    ),
    "cls_texts": LossTerm(
        title="L-cls with each text of a label as a target, in the place of their mean",
        function="several_texts:several_texts",
        inputs=("student", "label_texts", "text_labels", "labels", "class_weights"),
        settings={"temperature": "temperature"},
    ),
    "bce": LossTerm(
        title="binary cross-entropy of each label's text, for images with several labels",
        function="binary_cross_entropy:binary_cross_entropy",
        inputs=("student", "texts", "label_matrix"),
        settings={"temperature": "temperature", "offset": "label_offset"},
    ),
    "asl": LossTerm(
        title="the asymmetric loss of each label's text, for images with several labels (ASL)",
        function="asymmetric:asymmetric",
        inputs=("student", "texts", "label_matrix"),
        settings={
            "temperature": "temperature",
            "offset": "label_offset",
            "gamma_positive": "asl_gamma_positive",
            "gamma_negative": "asl_gamma_negative",
            "shift": "asl_shift",
        },
    ),
}


class UnlabelledUnused(ValueError):
    """Unlabelled images are given, and no loss with a weight can use them."""


def check_unlabelled_used(names: Iterable[str], num_unlabelled: int) -> None:
    """Raise UnlabelledUnused if there are unlabelled images and each of the terms with these names needs labels."""
    names = list(names)
    if num_unlabelled and all(map(needs_labels, names)):
        usable = ", ".join(name for name in LOSS_TERMS if not needs_labels(name))
        raise UnlabelledUnused(
            f"{num_unlabelled} images have no label, and the losses {', '.join(names)} need one: give one of {usable} "
            "a weight, or leave the unlabelled images out"
        )


def needs_labels(name: str) -> bool:
    """Whether a loss term uses the labels of images."""
    return not {"labels", "label_matrix"}.isdisjoint(LOSS_TERMS[name].inputs)


def compares_images_only(name: str) -> bool:
    """Whether a loss term compares image features of student and teacher, and nothing else, as a projector needs."""
    inputs = set(LOSS_TERMS[name].inputs)
    return "teacher" in inputs and inputs <= {"student", "teacher", "images", "queue", "queue_images"}


def fits_multi_label(name: str) -> bool:
    """Whether a loss term can use images with several labels: it needs no label, or all of them."""
    return "labels" not in LOSS_TERMS[name].inputs


def required_inputs(names: Iterable[str]) -> frozenset[TermInput]:
    """The inputs of the terms with these names."""
    return frozenset(term_input for name in names for term_input in LOSS_TERMS[name].inputs)
