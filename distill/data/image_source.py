"""How the images of a dataset are given: the layout of its folder, and which of its images count. Imports no torch."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

LayoutName = Literal[
    "auto",
    "class_folders",
    "part_folders",
    "table",
    "huggingface",
    "coco",
    "inaturalist",
    "coop",
    "cub",
    "flowers102",
    "food101",
    "sun397",
    "cars",
    "pets",
    "imagenet",
    "tiered_imagenet",
]


class ImageSource(BaseModel):
    """The layout of a dataset's folder, and the subset of its images to use."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layout: LayoutName = Field(
        "auto", description="How images and labels are given; `auto` recognises it by the files in the folder."
    )
    file: str | None = Field(
        None, min_length=1, max_length=1000, description="The table or JSON file, relative to the folder."
    )
    labels: tuple[str, ...] = Field(
        (), max_length=100_000, description="Use only these labels of the vocabulary; empty: all."
    )
    folders: tuple[str, ...] = Field(
        (),
        max_length=10_000,
        description="Use only images in folders whose name or path matches one of these patterns; empty: all.",
    )
    exclude: tuple[str, ...] = Field(
        (),
        max_length=1_000,
        description="Leave out files and folders that match one of these patterns, such as `*_bad`.",
    )
    unmatched: Literal["refuse", "skip"] = Field(
        "refuse", description="Images whose label is not in the vocabulary: `refuse`, or `skip` and count them."
    )
    missing: Literal["refuse", "skip"] = Field(
        "refuse", description="Images that a table lists but that are not there: `refuse`, or `skip` and count them."
    )
