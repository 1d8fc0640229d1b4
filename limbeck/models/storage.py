"""The disk that the service uses."""

from datetime import datetime

from limbeck.models.base import ServiceResponse


class StorageKind(ServiceResponse):
    """The files of one kind, such as `students` or `cache`."""

    kind: str
    files: int
    bytes: int


class Storage(ServiceResponse):
    """The disk that the service uses, as it was at `scanned_at`."""

    scanned_at: datetime
    kinds: tuple[StorageKind, ...]
    bytes: int
