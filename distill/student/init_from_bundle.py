"""The student that a fine-tuning starts from: weights and learned vectors out of a bundle, held against what is asked.

B images, D embedding width, M learned vectors of width W.
"""

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from distill.bundle.verify import BundleError, file_sha256, verify_bundle
from distill.config.train_config import TrainConfig
from distill.texts.text_targets import TextTargets

WEIGHTS, TARGETS = "image/model.safetensors", "targets/text_targets.safetensors"


class StartError(ValueError):
    """A student that cannot be started from; the message says why and what would do."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Start:
    """`weights` by name, `context` (M, W) where one was learned, and the sha256 of the weights' file."""

    weights: dict[str, Tensor]
    context: Tensor | None
    digest: str

    def load_into(self, model: nn.Module, context: Tensor | None) -> None:
        """Put the student into `model`, and its learned vectors into `context`, where both have some."""
        try:
            model.load_state_dict(self.weights)
        except RuntimeError as error:
            first = str(error).strip().splitlines()[-1].strip()
            raise StartError(f"the student to start from is of another make: {first}") from error
        if context is not None and self.context is not None:
            if context.shape != self.context.shape:
                raise StartError(
                    f"the student to start from has {len(self.context)} learned vectors of width "
                    f"{self.context.shape[1]}: set context_tokens to {len(self.context)}"
                )
            context.data.copy_(self.context)


def read_start(folder: Path, config: TrainConfig, teacher_digest: str) -> Start:
    """The student of the bundle in `folder`, of which only its weights, targets and manifest need be there.

    Raises StartError for a bundle that is damaged, of another architecture than the config, or of another teacher.
    """
    try:
        manifest = verify_bundle(folder, partial=True)
        theirs, made_from = manifest["student"]["name"], manifest["made_from"]["teacher"]["digest"]
    except (BundleError, KeyError, TypeError) as error:
        raise StartError(f"{folder} cannot be started from: {error}") from error
    if theirs != config.student.architecture:
        raise StartError(
            f"{folder} holds a {theirs}, and {config.student.architecture} is to be trained: set student to {theirs}"
        )
    if made_from != teacher_digest:
        raise StartError(f"{folder} was distilled from another teacher ({made_from[:12]}): start from one of this one")
    missing = [name for name in (WEIGHTS, TARGETS) if not (folder / name).is_file()]
    if missing:
        raise StartError(f"{folder} lacks {' and '.join(missing)}: download them too")
    try:
        weights, context = load_file(folder / WEIGHTS), TextTargets.load(folder / TARGETS).context
    except (SafetensorError, ValueError) as error:
        raise StartError(f"{folder} cannot be started from: {error}") from error
    if context is not None and config.objective.context_tokens == 0:
        raise StartError(f"{folder} reads its labels behind learned vectors: set context_tokens to {len(context)}")
    return Start(weights=weights, context=context, digest=file_sha256(folder / WEIGHTS))
