"""The register of the objective's terms, without torch: their names, what they are worked out from, their settings.

Adding a term is a file in `distill/losses/` and an entry here: `distill.config.LossWeights` takes exactly these names,
and `distill.objective` calls the function with what the entry says that it needs.
B images, K labels, D embedding width, Q features in the queue, U unseen labels.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Need = Literal["student", "teacher", "labels", "texts"]
"""What a term can be given: features `student` and `teacher` (B, D), `labels` (B,), `texts` (K, D)."""


@dataclass(frozen=True, kw_only=True)
class Term:
    """`function`: `file:name` below `distill.losses`. `needs`: its arguments, in order.

    `settings`: its keywords, each with the field of `TrainConfig` that is handed over. `weight`: where none is given.
    """

    function: str
    needs: tuple[Need, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    weight: float = 0.0


TERMS: Mapping[str, Term] = {
    "cls": Term(
        function="text_classification:text_classification",
        needs=("student", "texts", "labels"),
        settings={"temperature": "temperature"},
        weight=1.0,
    ),
    "mse": Term(
        function="feature_mse:feature_mse",
        needs=("student", "teacher"),
        settings={"form": "mse_form"},
        weight=1.0,
    ),
    "im_cst": Term(
        function="image_contrastive:image_contrastive",
        needs=("student", "teacher"),
        settings={"temperature": "temperature", "mode": "im_cst_mode"},
        weight=1.0,
    ),
}
