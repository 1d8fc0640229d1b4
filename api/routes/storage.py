"""The disk that the service uses, by kind."""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import Field

from api.http.schemas import ResponseModel, Timestamp
from store.upkeep.disk_used import DiskScan

router = APIRouter(prefix="/v1/storage", tags=["storage"])


class StorageKindOut(ResponseModel):
    """The files of one kind."""

    kind: str = Field(
        description="`students`, `epoch_checkpoints`, `text_targets`, `caption_sets`, `datasets`, `reports`, "
        "`teachers`, `teacher_features`, `training_states`, `imports`, `uploads`, `other` (outputs of trainings, what "
        "a sweep will remove), `cache` (of the API's machine) or `database`."
    )
    files: int
    bytes: int


class StorageOut(ResponseModel):
    """The disk that the service uses."""

    object: Literal["storage"] = "storage"
    scanned_at: Timestamp = Field(description="When the files were counted; a scan is used for five minutes.")
    kinds: list[StorageKindOut]
    bytes: int = Field(description="The sum of all kinds.")


@router.get("", response_model=StorageOut)
def get(request: Request) -> object:
    """Files and bytes by kind."""
    scan: DiskScan = request.app.state.disk_scan
    used = scan.used()
    kinds = [StorageKindOut(kind=one.kind, files=one.number, bytes=one.size) for one in used.kinds]
    return StorageOut(scanned_at=used.scanned_at, kinds=kinds, bytes=sum(one.size for one in used.kinds))
