"""Where the files of uploads lie, and the folder of a dataset.

UPLOAD_ROOT/upl_…/listing.json    paths and sizes, in the order of the stream
                  writer          the token of the request that may write, and the lock of the upload
                  archive         an archive while it is received
                  files/…         the files
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from store.models import Dataset
from store.settings import Settings

OFF = "uploads are off: set LIMBECK_UPLOAD_ROOT to a folder that the service may write to"


class UploadsOff(RuntimeError):
    """`LIMBECK_UPLOAD_ROOT` is not set."""

    def __init__(self) -> None:
        super().__init__(OFF)


class DatasetFolderMissing(RuntimeError):
    """The folder of a dataset is not on this machine."""


@dataclass(frozen=True)
class UploadPlace:
    """The folder of one upload."""

    folder: Path

    @property
    def listing(self) -> Path:
        """Paths and sizes of the files of the stream."""
        return self.folder / "listing.json"

    @property
    def writer(self) -> Path:
        """Locked by whoever writes or seals; its content names the request that may write."""
        return self.folder / "writer"

    @property
    def archive(self) -> Path:
        """The archive, until it is unpacked."""
        return self.folder / "archive"

    @property
    def files(self) -> Path:
        """The folder of the files, which datasets may name."""
        return self.folder / "files"

    @property
    def has_bytes(self) -> bool:
        """Whether bytes of the stream lie in it."""
        return self.archive.exists() or self.files.exists()

    def remove(self) -> None:
        """Delete everything of the upload."""
        shutil.rmtree(self.folder, ignore_errors=True)


def root_of(settings: Settings) -> Path:
    """The upload root. Raises UploadsOff."""
    if settings.upload_root is None:
        raise UploadsOff
    return settings.upload_root


def place_of(settings: Settings, upload_id: str) -> UploadPlace:
    """The folder of an upload. Raises UploadsOff."""
    return UploadPlace(root_of(settings) / upload_id)


def roots(settings: Settings) -> list[Path]:
    """The folders below which the images of datasets lie."""
    return [settings.data, *filter(None, [settings.upload_root])]


def root_of_dataset(settings: Settings, dataset: Dataset) -> Path:
    """What the path of a dataset is relative to: the data root, or its upload. Raises UploadsOff."""
    return settings.data if dataset.upload_id is None else place_of(settings, dataset.upload_id).files


def folder_of_dataset(settings: Settings, dataset: Dataset) -> Path:
    """The folder of a dataset on this machine. Raises DatasetFolderMissing."""
    try:
        folder = (root_of_dataset(settings, dataset) / dataset.path).resolve()
    except UploadsOff:
        raise DatasetFolderMissing(
            f"the images of {dataset.id} lie in the upload {dataset.upload_id}: set LIMBECK_UPLOAD_ROOT to the folder "
            "of the uploads on this worker too"
        ) from None
    if not folder.is_dir():
        place = "the data root" if dataset.upload_id is None else f"the upload {dataset.upload_id}"
        raise DatasetFolderMissing(
            f'dataset folder "{dataset.path}" is not under {place} of this worker: mount it there'
        )
    return folder
