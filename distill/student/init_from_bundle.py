"""Initial student of a fine-tuning run: the weights and learned vectors of a bundle, checked against the config.

M learned vectors of width W.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from distill.bundle.verify import MANIFEST_FILE, BundleError, file_sha256, verify_bundle
from distill.config.model_names import check_student
from distill.config.train_config import TrainConfig
from distill.data.dataset.trained_on import LABELS_FILE, TrainedOn, TrainedOnError, read_trained_on
from distill.state_dicts import misfit
from distill.student.initial_weights import weights_path
from distill.texts.text_targets import TextTargets
from limbeck.shared.text import first_line

CONFIG, WEIGHTS, TARGETS = "image/config.json", "image/model.safetensors", "targets/text_targets.safetensors"


class InitialStudentError(ValueError):
    """A run cannot start from this student; the message names the reason and the fix."""


@dataclass(frozen=True, eq=False, kw_only=True)
class InitialStudent:
    """Weights by name, the learned vectors `context` (M, W) if any, and `digest`, the sha256 of the weights file.

    `trained_on`: what it was trained on. `mean`, `std`: of its input, which the weights know; None if not recorded.
    """

    weights: dict[str, Tensor]
    context: Tensor | None
    digest: str
    trained_on: TrainedOn = field(default_factory=lambda: TrainedOn(()))
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def load_into(self, model: nn.Module, context: Tensor | None) -> None:
        """Copy the weights into `model`, and the learned vectors into `context` (M, W) if both have some.

        Raises InitialStudentError for weights or vectors of other shapes.
        """
        if reason := misfit(model.state_dict(), self.weights):
            raise InitialStudentError(f"the weights of the initial student do not fit the student: {reason}")
        model.load_state_dict(self.weights)
        if context is not None and self.context is not None:
            if context.shape != self.context.shape:
                raise InitialStudentError(
                    f"the initial student has {len(self.context)} learned vectors of width "
                    f"{self.context.shape[1]}: set context_tokens to {len(self.context)}"
                )
            context.data.copy_(self.context)


def read_initial_student(folder: Path, config: TrainConfig, teacher_digest: str) -> InitialStudent:
    """Read the student of the bundle in `folder`, which needs only its manifest, weights and `targets/`.

    Raises InitialStudentError for a bundle that is damaged, or of another architecture or teacher than the run.
    """
    try:
        manifest = verify_bundle(folder, partial=True)
        architecture, bundle_teacher = manifest["student"]["name"], manifest["made_from"]["teacher"]["digest"]
    except (BundleError, KeyError, TypeError) as error:
        raise InitialStudentError(f"{folder} cannot be read as an initial student: {error}") from error
    # The architecture of a repository of the Hub is not known here; the names and shapes of the weights are compared.
    wanted = check_student(config.student.architecture).architecture
    if wanted is not None and architecture != wanted:
        raise InitialStudentError(
            f"{folder} holds a {architecture}, but the student is a {wanted}: set student to {architecture}"
        )
    if bundle_teacher != teacher_digest:
        raise InitialStudentError(
            f"{folder} was distilled from another teacher ({bundle_teacher[:12]}): start from a student of this teacher"
        )
    missing = [name for name in (WEIGHTS, TARGETS, LABELS_FILE) if not (folder / name).is_file()]
    if missing:
        raise InitialStudentError(f"{folder} lacks {' and '.join(missing)}: download them too")
    try:
        weights, context = load_file(folder / WEIGHTS), TextTargets.load(folder / TARGETS).context
    except (SafetensorError, ValueError) as error:
        raise InitialStudentError(f"{folder} cannot be read as an initial student: {first_line(error)}") from error
    if context is not None and config.objective.context_tokens == 0:
        raise InitialStudentError(
            f"{folder} has learned vectors before its texts: set context_tokens to {len(context)}"
        )
    mean, std = _channel_statistics(folder / CONFIG)
    return InitialStudent(
        mean=mean,
        std=std,
        weights=weights,
        context=context,
        digest=file_sha256(folder / WEIGHTS),
        trained_on=_read_trained_on(folder),
    )


def trained_before(config: TrainConfig, start: InitialStudent | None, *, root: Path | None = None) -> TrainedOn | None:
    """What the student of a run was trained on before the run; None if that is not known, or nothing.

    Own weights are known if they lie in a bundle. `root`: as for `weights_path`. Raises InitialStudentError and
    StudentError.
    """
    if start is not None:
        return start.trained_on
    if config.student.weights is None:
        return None
    weights = weights_path(config.student.weights, root)
    bundle = (weights if weights.is_dir() else weights.parent).absolute().parent
    is_bundle = (bundle / MANIFEST_FILE).is_file() and (bundle / LABELS_FILE).is_file()
    return _read_trained_on(bundle) if is_bundle else None


def _channel_statistics(config: Path) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Mean and std of the input that timm's config of the student states."""
    if not config.is_file():
        return None, None
    stated = json.loads(config.read_text(encoding="utf-8"))["pretrained_cfg"]
    return tuple(stated["mean"]), tuple(stated["std"])


def _read_trained_on(bundle: Path) -> TrainedOn:
    try:
        return read_trained_on(bundle)
    except TrainedOnError as error:
        raise InitialStudentError(str(error)) from None
