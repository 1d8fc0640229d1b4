"""Checkpoints of a training while it runs, and their files (`save_checkpoints` of a distill job)."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field
from sqlalchemy.orm import Session
from starlette.responses import Response

from api.http import downloads
from api.http.dependencies import ServicesDep
from api.http.schemas import MAX_INT32, Limit, Page, ResponseModel, Timestamp, page
from api.routes.checkpoints import BundleFileOut
from store.blobs.reading import whole_file
from store.jobs import jobs
from store.lifecycle import epoch_checkpoints
from store.models import EpochCheckpoint, EpochFile

router = APIRouter(prefix="/v1/jobs/{id}/checkpoints", tags=["jobs"])

Epoch = Annotated[int, Path(ge=1, le=MAX_INT32)]
AfterEpoch = Annotated[int, Query(ge=0, le=MAX_INT32, description="`last_id` of the previous page: an epoch.")]


class EpochMetricsOut(ResponseModel):
    """Figures of the held-out images of the seen labels, among the seen labels."""

    accuracy: float | None = Field(None, description="Mean per-class accuracy; null if images have several labels.")
    top5: float | None = Field(
        None,
        description="Mean over labels of the share of images whose own text is among the five closest; null if images "
        "have several labels.",
    )
    mean_ap: float | None = Field(None, description="Mean average precision, of images with several labels.")
    chance: float = Field(description="Accuracy of guessing, or mean average precision of a random order.")
    num_images: int
    num_labels: int


class EpochCheckpointOut(ResponseModel):
    """A student after an epoch of a training."""

    object: Literal["epoch_checkpoint"] = "epoch_checkpoint"
    job_id: str
    epoch: int = Field(description="Epochs trained, from 1.")
    step: int = Field(description="Steps trained.")
    metrics: EpochMetricsOut | None = Field(description="Null without held-out images.")
    files: list[BundleFileOut] = Field(description="Its bundle: `image/`, `targets/`, `evaluation.json`, the manifest.")
    created_at: Timestamp


@router.get("", response_model=Page[EpochCheckpointOut])
def list_all(services: ServicesDep, id: str, limit: Limit = 20, after: AfterEpoch = 0) -> object:
    """The checkpoints of a distill job so far, by epoch. The newest ones are kept until the job is deleted."""
    with services.db.read() as tx:
        jobs.get(tx, id)
        rows, more = epoch_checkpoints.page(tx, id, limit=limit, after=after)
        return page(checkpoints_out(tx, id, rows), more, lambda item: item.epoch)


@router.get("/{epoch}", response_model=EpochCheckpointOut)
def get(services: ServicesDep, id: str, epoch: Epoch) -> object:
    """The checkpoint after an epoch."""
    with services.db.read() as tx:
        return checkpoints_out(tx, id, [epoch_checkpoints.get(tx, id, epoch)])[0]


@router.get("/{epoch}/files/{path:path}", response_class=Response, responses=downloads.RESPONSES)
@router.head("/{epoch}/files/{path:path}", include_in_schema=False)
def file(request: Request, services: ServicesDep, id: str, epoch: Epoch, path: str) -> Response:
    """Download a file of a checkpoint. The ETag is the sha256; Range, If-Range and If-None-Match are supported."""
    with services.db.read() as tx:
        row = epoch_checkpoints.file(tx, id, epoch, path)
    stored = downloads.StoredFile(whole_file(row.file_key), row.sha256, row.size, path.rpartition("/")[2])
    return downloads.file_response(request, services.artefacts, stored)


def checkpoints_out(tx: Session, job_id: str, rows: Sequence[EpochCheckpoint]) -> list[EpochCheckpointOut]:
    """The response models of checkpoints of a job."""
    files: defaultdict[int, list[EpochFile]] = defaultdict(list)
    for one in epoch_checkpoints.files_of(tx, job_id, [row.epoch for row in rows]):
        files[one.epoch].append(one)
    return [
        EpochCheckpointOut(
            job_id=job_id,
            epoch=row.epoch,
            step=row.step,
            metrics=None if row.metrics is None else EpochMetricsOut.model_validate(row.metrics),
            files=[
                BundleFileOut(
                    path=one.path,
                    size=one.size,
                    sha256=one.sha256,
                    url=f"/v1/jobs/{job_id}/checkpoints/{row.epoch}/files/{quote(one.path)}",
                )
                for one in files[row.epoch]
            ],
            created_at=row.created_at,
        )
        for row in rows
    ]
