"""The register of the objective's terms, without torch: their names, what they are worked out from, their settings.

Adding a term is a file in `distill/losses/` and an entry here: `distill.config.train_config.LossWeights` takes exactly
these names, and `distill.training.objective` calls the function with what the entry says that it needs. B images, K
labels, D embedding width, Q features in the queue, U unseen labels.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

TermInput = Literal["student", "teacher", "labels", "texts", "captions", "captioned", "queue", "unseen"]
"""What a term can be given.

Features `student` and `teacher` (B, D); `labels` (B,); `texts` (K, D); the teacher's features of `captions` (B, D) and
who is `captioned` (B,); teacher features of this batch and of those before it, `queue` (Q, D); texts `unseen` (U, D).
"""


@dataclass(frozen=True, kw_only=True)
class LossTerm:
    """`title`: what people read. `function`: `file:name` below `distill.losses`. `needs`: its arguments, in order.

    `settings`: its keyword arguments, each with the field of `ObjectiveConfig` it takes. `weight`: the default weight.
    """

    title: str
    function: str
    needs: tuple[TermInput, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    weight: float = 0.0


LOSS_TERMS: Mapping[str, LossTerm] = {
    "cls": LossTerm(
        title="L-cls, classification among the texts of the labels",
        function="text_classification:text_classification",
        needs=("student", "texts", "labels"),
        settings={"temperature": "temperature"},
        weight=1.0,
    ),
    "mse": LossTerm(
        title="L-mse, distance to the teacher's image feature",
        function="feature_mse:feature_mse",
        needs=("student", "teacher"),
        settings={"form": "mse_form"},
        weight=1.0,
    ),
    "im_cst": LossTerm(
        title="L-im-cst, contrastive matching of student and teacher images",
        function="image_contrastive:image_contrastive",
        needs=("student", "teacher"),
        settings={"temperature": "temperature", "mode": "im_cst_mode"},
        weight=1.0,
    ),
    "vlalign": LossTerm(
        title="L-vlalign, the teacher's ranking of the labels' texts",
        function="text_alignment:text_alignment",
        needs=("student", "teacher", "texts", "labels"),
        settings={"temperature": "temperature", "top_k": "vlalign_top_k", "only_right": "vlalign_only_right"},
    ),
    "cap": LossTerm(
        title="L-cap, contrastive matching of images and captions",
        function="caption_contrastive:caption_contrastive",
        needs=("student", "captions", "captioned", "labels"),
        settings={"temperature": "cap_temperature"},
    ),
    "queue_kl": LossTerm(
        title="queue KL, similarities to a queue of teacher features",
        function="queue_alignment:queue_alignment",
        needs=("student", "teacher", "queue"),
        settings={"temperature": "temperature"},
    ),
    "icl": LossTerm(
        title="ICL, interactive contrastive learning (CLIP-KD)",
        function="interactive_contrastive:interactive_contrastive",
        needs=("student", "teacher", "texts", "labels"),
        settings={"temperature": "temperature"},
    ),
    "fd": LossTerm(
        title="FD, feature distance (CLIP-KD)",
        function="feature_distance:feature_distance",
        needs=("student", "teacher"),
    ),
    "affinity": LossTerm(
        title="affinity mimicking (TinyCLIP)",
        function="affinity:affinity",
        needs=("student", "teacher", "texts"),
        settings={"temperature": "temperature"},
    ),
    "neighbour": LossTerm(
        title="nearest-neighbour guidance (CLIP-PING)",
        function="nearest_neighbour:nearest_neighbour",
        needs=("student", "teacher", "queue"),
        settings={"temperature": "temperature"},
    ),
    "closed_set": LossTerm(
        title="the closed-set classifier, a baseline", function="closed_set:closed_set", needs=("student", "labels")
    ),
    "unseen": LossTerm(
        title="classification of features synthesised for unseen labels (OGEN)",
        function="unseen_classification:unseen_classification",
        needs=("student", "texts", "labels", "unseen"),
        settings={"temperature": "temperature", "neighbours": "unseen_neighbours"},
    ),
}


def required_inputs(names: Iterable[str]) -> frozenset[TermInput]:
    """All that the terms of these names are worked out from."""
    return frozenset(need for name in names for need in LOSS_TERMS[name].needs)
