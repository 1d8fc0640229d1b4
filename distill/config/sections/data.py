"""Training images, their augmentation, and the teacher's view of them. Imports no torch."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from distill.config.sections.augmentation import Augmentation
from distill.config.sections.base import ConfigSection, Fraction
from limbeck.shared.images.background import WHITE, hex_colour

Protocol = Literal["zero_shot", "fine_tune", "retrieval", "closed_set"]
Sampling = Literal["uniform", "square_root", "balanced"]
TeacherView = Literal["center", "squash", "squash_256", "same", "live"]


class DataConfig(ConfigSection):
    """Training images, their augmentation and the teacher's view of them."""

    protocol: Protocol = Field(
        "zero_shot",
        description="`zero_shot` trains on the ID labels. `fine_tune` continues from a student, with the first `shots` "
        "images of every OOD label. `retrieval` is zero_shot, also evaluated with Tip-Adapter on these images. "
        "`closed_set` trains a plain classifier of the ID labels, the baseline, and with `shots` of ID and OOD labels; "
        "its loss `closed_set` is the only one.",
    )
    shots: int = Field(
        0, ge=0, le=1000, description="Images per OOD label for `fine_tune`, `retrieval` and a `closed_set` baseline."
    )
    augmentation: Augmentation = Field(Augmentation(), description="Augmentation of the training images.")
    view: TeacherView = Field(
        "center",
        description="The teacher's view of an image. `center`: the teacher's own preprocessing, cached. `squash`: the "
        "whole image resized to the teacher's input, cached. `squash_256`: the same by way of 256 x 256 pixels, as "
        "published. `same`: the student's crop and flip, "
        "`num_views` of them per image, cached. `live`: every view of the student, encoded during training.",
    )
    num_views: int = Field(4, ge=1, le=1000, description="Cached views per image for view `same`.")
    mix: Literal["none", "mixup", "cutmix"] = Field(
        "none",
        description="Mix images of a batch in pairs, which student and teacher see alike; mixtures count in the loss "
        "terms that need no label. With view `live` only. `mixup` (arXiv:1710.09412), or `cutmix` (arXiv:1905.04899).",
    )
    mix_share: float = Field(0.5, gt=0, le=0.5, description="Share of the images of a batch that are mixed by `mix`.")
    unlabelled_share: Fraction = Field(
        0.5, description="Share of each batch that is unlabelled images, if the dataset has some."
    )
    unlabelled_nearest: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Of the unlabelled images, use only so many: those nearest to a training image by the teacher's "
        "features. If null, all.",
    )
    sampling: Sampling = Field(
        "uniform",
        description="How often the images of a label are used (arXiv:1910.09217). `uniform`: each image once per pass. "
        "`balanced`: each label equally often. `square_root`: in proportion to the root of its number of images. A "
        "pass has the same number of steps in each.",
    )
    background: str = Field(
        WHITE,
        max_length=40,
        description="Colour behind transparent parts of images, in training and wherever the student is used: a name "
        "such as `black`, or `#rrggbb`.",
    )

    @field_validator("background")
    @classmethod
    def _background_is_a_colour(cls, background: str) -> str:
        return hex_colour(background)

    @property
    def trains_on_shots(self) -> bool:
        """Whether the few-shot images are trained on, and their labels are trained labels."""
        return self.shots > 0 and self.protocol in ("fine_tune", "closed_set")

    @property
    def encodes_training_images(self) -> bool:
        """Whether the teacher's features of the training images are encoded once."""
        return self.protocol != "closed_set" and self.view != "live"
