"""The folder of a posted dataset, below the data root or in an upload: images matched to labels, and their check."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator, Field

from api.http.dependencies import Services
from api.http.problems import StorableRequestModel, not_found_at, unprocessable
from api.http.schemas import ONE_FAULT, Name
from api.readers.data_root import DATA_ROOT, resolve_folder
from distill.data.dataset.label_matcher import LabelIds
from distill.data.dataset.scan import match_dataset
from distill.data.dataset_check.check import CheckedDataset, DatasetCheck, check_dataset
from distill.data.image_folders import FolderError
from distill.data.image_source import ImageSource
from distill.data.splits import BySeed, SplitSpec
from limbeck.shared.images.file_names import shown_path
from limbeck.shared.labels import unique_names
from store.settings import Settings
from store.uploads import uploads
from store.uploads.places import place_of

_MAX_THREADS = 8


def _texts(given: object) -> object:
    """Refuse a mapping at its first value that is no text, where pydantic would make an error for each."""
    if isinstance(given, dict):
        for folder, label in given.items():
            if not isinstance(label, str):
                raise ValueError(f"{folder[:80]!r} has a value that is no label")
    return given


class DatasetFields(StorableRequestModel, DatasetCheck):
    """A folder below the data root or an upload, and how its images are used, without the vocabulary."""

    name: Name | None = Field(None, description="Name of the dataset. If absent, the path.")
    path: str | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="Relative to the data root; with `upload_id`, to the upload, whose own `path` it is if absent.",
        examples=["cub/images"],
    )
    upload_id: str | None = Field(
        None, max_length=64, description="A complete upload that holds the images, in place of the data root."
    )
    split: SplitSpec = BySeed()
    images: ImageSource = Field(ImageSource(), description="How the images are given, and which of them count.")
    unlabelled: Annotated[list[str], ONE_FAULT] = Field(
        [],
        max_length=100,
        description="Folders of images without labels, relative to the data root or the upload: training "
        "uses them in the losses that need no label.",
    )
    folder_map: Annotated[dict[str, str] | None, BeforeValidator(_texts)] = Field(
        None, description="Folder name → label, for folders that are not named like their label."
    )


class VocabularyLabel(NamedTuple):
    """A label as images are matched to it."""

    name: str
    sense: str | None
    ids: LabelIds | None


@dataclass(frozen=True)
class DatasetFolders:
    """The folders of a posted dataset below the data root, or in an upload. `path`: the normalised path of `folder`.

    `name`: of the dataset, if its body gives none.
    """

    folder: Path
    path: str
    unlabelled: Sequence[Path]
    name: str
    upload_id: str | None = None


def resolve_folders(body: DatasetFields, services: Services) -> DatasetFolders:
    """The folders that a body names. Raises ProblemError, UploadsOff and Conflict."""
    root, path, name, place = services.settings.data, body.path, body.path, DATA_ROOT
    if body.upload_id is not None:
        with services.db.read() as tx, not_found_at("/upload_id"):
            upload = uploads.get(tx, body.upload_id)
        uploads.check_complete(upload)
        root, path = place_of(services.settings, upload.id).files, path or upload.path
        name, place = upload.name, "the upload"
    if path is None:
        raise unprocessable("invalid_request", "give the folder below the data root, or an upload", "/path")
    folder, path = resolve_folder(root, path, place=place)
    unlabelled = [
        resolve_folder(root, one, f"/unlabelled/{at}", place=place)[0] for at, one in enumerate(body.unlabelled)
    ]
    return DatasetFolders(folder, path, unlabelled, body.name or name or path, body.upload_id)


def check_folders(
    body: DatasetFields, folders: DatasetFolders, labels: Sequence[VocabularyLabel], settings: Settings
) -> CheckedDataset:
    """Match, check and split the images. Raises ProblemError."""
    names = unique_names([(label.name, label.sense) for label in labels])
    ids = [label.ids for label in labels]
    try:
        matched = match_dataset(
            folders.folder, names, body.split, body.folder_map, body.images, ids, folders.unlabelled
        )
        num_threads = min(_MAX_THREADS, os.cpu_count() or 1)
        return check_dataset(matched, body.split, body, cache=settings.cache, num_workers=num_threads)
    except FolderError as error:
        raise unprocessable(error.code, error.detail, error.pointer) from None
    except OSError as error:
        detail = f'"{shown_path(os.path.basename(error.filename or ""))}" cannot be read: {error.strerror}'
        raise unprocessable("folder_unreadable", detail, "/path") from None


def dataset_digest(vocabulary_id: str, folders: DatasetFolders, body: DatasetFields, checked: CheckedDataset) -> str:
    """sha256 over everything that a dataset is registered with, and the contents of its images if they were opened."""
    # The examples of skipped files follow the order of the disk.
    report = checked.report.model_dump(mode="json", exclude={"skipped": {"__all__": {"examples"}}})
    if report["labels_per_image"] is None:  # so that a dataset of an earlier release equals this one
        del report["labels_per_image"]
    path = folders.path if folders.upload_id is None else f"{folders.upload_id}/{folders.path}"
    fields = [vocabulary_id, path, body.split.model_dump(mode="json"), checked.image_index.digest, report]
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode())
    if checked.contents is not None:
        digest.update(checked.contents.tobytes())
    return digest.hexdigest()
