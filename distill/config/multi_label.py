"""Whether a training config fits a multi-label dataset. Imports no torch.

Everything here that is made for one label an image is refused: the first label of several is never taken silently.
"""

from distill.config.loss_registry import LOSS_TERMS, fits_multi_label
from distill.config.train_config import TrainConfig


class MultiLabelUnfit(ValueError):
    """A config that is for one label an image. `field`: section and field of the setting to change."""

    def __init__(self, message: str, field: tuple[str, ...]) -> None:
        super().__init__(message)
        self.field = field


def check_multi_label(config: TrainConfig) -> None:
    """Raise MultiLabelUnfit if the config cannot train on images with sets of labels."""
    data, objective = config.data, config.objective
    names = list(objective.losses.above_zero())
    if data.protocol != "zero_shot":
        raise MultiLabelUnfit(
            f"the images have several labels, and protocol {data.protocol} is for one label an image: use zero_shot",
            ("data", "protocol"),
        )
    if unfit := [name for name in names if not fits_multi_label(name)]:
        fitting = ", ".join(name for name in LOSS_TERMS if fits_multi_label(name))
        plural = "losses" if len(unfit) > 1 else "loss"
        weights = " and ".join(f"losses.{name}" for name in unfit)
        raise MultiLabelUnfit(
            f"the images have several labels, and the {plural} {', '.join(unfit)} need one label an image: set "
            f"{weights} to 0; these fit: {fitting} (asl or bce in place of cls)",
            ("objective", "losses", unfit[0]),
        )
    if objective.tuned_teacher is not None:
        raise MultiLabelUnfit(
            "the images have several labels, and tuned_teacher is learned from one label an image: set it to null",
            ("objective", "tuned_teacher"),
        )
    if data.sampling != "uniform":
        raise MultiLabelUnfit(
            f"sampling {data.sampling} is by label, and the images have several labels: use uniform",
            ("data", "sampling"),
        )


def check_multi_label_measures(shots: int, has_further_sets: bool) -> None:
    """Raise MultiLabelUnfit for measures that are for one label an image. `shots`: images per label for retrieval.

    `has_further_sets`: whether domains, corruptions or open-set images are asked for.
    """
    if shots:
        message = "the images have several labels, and few-shot retrieval is for one label an image: leave shots at 0"
        raise MultiLabelUnfit(message, ("shots",))
    if has_further_sets:
        message = (
            "the images have several labels: domains, corruptions and open-set images are measured for one label an "
            "image only; leave them out"
        )
        raise MultiLabelUnfit(message, ())


def check_one_label(is_multi_label: bool, what: str) -> None:
    """Raise MultiLabelUnfit if images of a multi-label dataset are given for `what`, which needs one label an image."""
    if is_multi_label:
        raise MultiLabelUnfit(f"{what} needs images with one label each, and these have several: give others", ())


def is_multi_label_loss(config: TrainConfig) -> bool:
    """Whether a loss of the config uses all labels of an image."""
    return any("label_matrix" in LOSS_TERMS[name].inputs for name in config.objective.losses.above_zero())
