"""Uploads of images."""

from datetime import datetime
from typing import Literal

from limbeck.models.base import ServiceResponse

UploadKind = Literal["folder", "archive"]
UploadStatus = Literal["receiving", "complete"]


class Upload(ServiceResponse):
    """Files that a client sends to the service. `size` and `received`: bytes of the stream; `reserved`: what it counts
    against the quota; `path`: the folder in it that a dataset uses by default."""

    id: str
    name: str
    kind: UploadKind | str
    status: UploadStatus | str
    num_files: int
    size: int
    received: int
    reserved: int
    path: str
    max_chunk_bytes: int
    expires_at: datetime | None
    owner: str | None = None
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None


class CreatedUpload(Upload):
    """An upload that was posted. `reused`: the same files were sent before, and this goes on with them."""

    reused: bool = False
