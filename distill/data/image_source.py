"""How the images of a dataset are given: the layout of its folder, and which of its images count. Imports no torch."""

from typing import Annotated, Literal

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


SeveralLabels = Literal["refuse", "first", "each", "leave_out", "all"]
ColumnName = str | Annotated[int, Field(ge=0, lt=10_000)]


class TableColumns(BaseModel):
    """Columns of a table, by name or by number from 0. A column that is not given is recognised by its header."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: ColumnName | None = Field(None, description="Path of the image, relative to the table.")
    label: ColumnName | None = Field(None, description="Label, or list of labels.")
    labels: tuple[ColumnName, ...] = Field(
        (),
        max_length=10_000,
        description="Several columns in place of `label`: each holds a label of the image, or is called like a label "
        "and holds 1 for the images that show it, else 0.",
    )
    part: ColumnName | None = Field(None, description="Part, such as train, val or test.")
    caption: ColumnName | None = Field(None, description="Caption, for the loss `cap`.")


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
    columns: TableColumns = Field(TableColumns(), description="Columns of a table whose headers say too little.")
    image_folder: str | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="Folder to which the paths in a table are relative, if it is not the table's own; below `path`.",
    )
    labels_are: Literal["names", "indices_from_0", "indices_from_1"] = Field(
        "names", description="Whether labels that are numbers count the labels of the vocabulary, and from where."
    )
    label_names: str | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="Label file below `path` whose ids (or positions, with `labels_are`) are the labels of the images.",
    )
    label_separator: str | None = Field(
        None, min_length=1, max_length=10, description="Text between several labels of an image, such as `|`."
    )
    several_labels: SeveralLabels = Field(
        "refuse",
        description=(
            "Images with several labels: `refuse`; use the `first`; use them under `each`; `leave_out` the image; or "
            "`all`: a multi-label dataset, whose images are trained on and measured with the set of their labels."
        ),
    )
    missing: Literal["refuse", "skip"] = Field(
        "refuse", description="Images that a table lists but that are not there: `refuse`, or `skip` and count them."
    )
