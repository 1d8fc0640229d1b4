"""The report of a dataset: what lies in its folder, and what was left out. The service, its client and the command line
share these models. Imports no Pillow.

Paths are shown as text: bytes of a name that are not UTF-8 are written as `\\xff`.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Check = Literal["full", "names"]
DuplicateAction = Literal["refuse", "move", "keep"]
NearDuplicateAction = Literal["report", "move", "refuse"]


class ReportPart(BaseModel):
    model_config = ConfigDict(frozen=True)


class LabelCount(ReportPart):
    """The number of images of a label."""

    label: str
    num_images: int


class ImagesPerLabel(ReportPart):
    """Images per label, over the labels that have images in the dataset, without the unlabelled images."""

    num_labels: int
    min: int
    median: float
    max: int
    fewest: tuple[LabelCount, ...] = Field(description="The labels with the fewest images, at most 5.")
    most: tuple[LabelCount, ...] = Field(description="The labels with the most images, at most 5.")


class LabelsPerImage(ReportPart):
    """Labels per image of a multi-label dataset, over its images with labels."""

    min: int
    mean: float
    max: int
    num_several: int = Field(description="Images with more than one label.")


class NamedLabels(ReportPart):
    """A number of labels, and the first of them."""

    count: int
    examples: tuple[str, ...] = Field(description="At most 20 of them.")


class NamedFiles(ReportPart):
    """A number of files, and the first of them."""

    count: int
    examples: tuple[str, ...] = Field(description="At most 5 of them, relative to the folder.")


class FilesByReason(ReportPart):
    """Files that were left out for one reason."""

    reason: str = Field(examples=["not an image (.txt)"])
    count: int
    examples: tuple[str, ...] = Field(description="At most 5 of them, relative to the folder.")


class SideLengths(ReportPart):
    """One side of all images, in pixels."""

    min: int
    median: float
    max: int


class ImageSizes(ReportPart):
    """Sizes as the images are shown, in pixels. `smaller_than`: number of images by upper bound of the shorter side."""

    width: SideLengths
    height: SideLengths
    smaller_than: dict[int, int] = Field(description="Images whose shorter side is below 32, 64, 96, 128, 224, 384 px.")
    elongated: NamedFiles = Field(description="Images with one side more than 4 times as long as the other.")


class ImageKinds(ReportPart):
    """Images that are shown other than their plain pixels."""

    rotated: NamedFiles = Field(description="Rotated or mirrored by their EXIF data.")
    transparent: NamedFiles = Field(description="With a pixel that is not opaque.")
    deep: NamedFiles = Field(description="With more than 8 bits per channel.")
    animated: NamedFiles = Field(description="With several frames, of which the first is used.")


class DuplicateImage(ReportPart):
    """One of several images of the same picture, as it was before anything was moved."""

    path: str
    label: str | None = Field(description="null for an image without a label; several are joined by commas.")
    part: Literal["train", "held_out", "ood", "unlabelled"]


class DuplicateCounts(ReportPart):
    """Groups of images of the same picture. An image counts in each column that applies to its group."""

    num_groups: int
    num_images: int = Field(description="Images in all groups.")
    num_redundant: int = Field(description="Images beyond the first of each group.")
    across_parts: int = Field(
        description="Groups with images in more than one of train (with unlabelled), held_out and ood."
    )
    seen_and_unseen: int = Field(description="Groups with images under a seen and under an unseen label.")
    contradictory: int = Field(description="Groups with images under more than one label.")
    num_moved: int = Field(description="Held-out images that were moved to training.")
    num_left_out: int = Field(description="Images that were left out of the dataset.")
    examples: tuple[tuple[DuplicateImage, ...], ...] = Field(
        description="The first groups, at most 20 images of each; those across parts first."
    )


class DuplicateReport(ReportPart):
    """Exact duplicates have the same content; near duplicates are groups of pictures that look the same."""

    exact: DuplicateCounts
    near: DuplicateCounts = Field(description="Groups with at least two different files.")
    num_plain: int = Field(description="Images with too little contrast to be compared.")
    num_not_compared: int = Field(description="Images that look like too many others to be compared with all of them.")


class DatasetReport(ReportPart):
    """What lies in the folder of a dataset, and what of it is used."""

    check: Check = Field(description="`full`: every image was decoded. `names`: no image was opened.")
    duplicates: DuplicateAction = Field(description="What was done with exact duplicates across parts and labels.")
    near_duplicates: NearDuplicateAction = Field(description="What was done with near duplicates across parts.")
    layout: str = Field(description="How the images are given.")
    num_images: int = Field(
        description="Images of the labels of the vocabulary and unlabelled images, before anything was left out."
    )
    num_used: int = Field(description="Images in the dataset; one with several labels counts once.")
    parts: dict[str, int] = Field(description="As `counts` of the dataset.")
    images_per_label: ImagesPerLabel
    labels_per_image: LabelsPerImage | None = Field(None, description="Of a multi-label dataset; null for another one.")
    labels_without_images: NamedLabels = Field(description="Labels of the vocabulary without an image in the folder.")
    labels_without_usable_images: NamedLabels = Field(
        description="Labels whose images were all left out; they are neither seen nor unseen."
    )
    unreadable: tuple[FilesByReason, ...] = Field(description="Images that cannot be decoded, by reason.")
    skipped: tuple[FilesByReason, ...] = Field(description="Files and folders that are no images of the dataset.")
    sizes: ImageSizes | None = Field(description="null if no image was opened.")
    kinds: ImageKinds | None = Field(description="null if no image was opened.")
    duplicate_images: DuplicateReport | None = Field(description="null if no image was opened.")
    notes: tuple[str, ...] = Field(description="How the layout was read.")
    warnings: tuple[str, ...] = Field(description="What to look at, most important first.")
