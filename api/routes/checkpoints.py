"""Checkpoints: the bundles of trained students, and their files."""

from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from api.http import deletions, downloads, zip_download
from api.http.dependencies import IdempotencyDep, OwnerFilter, ServicesDep
from api.http.problems import ProblemError
from api.http.schemas import OWNER, After, Limit, Page, ResponseModel, Timestamp, page
from api.readers.sample_files import read_samples
from distill.texts.text_templates import TextKind
from limbeck.shared.labels import quoted
from store import resources
from store.artefacts import Artefacts
from store.blobs.reading import content_of
from store.models import Checkpoint

router = APIRouter(prefix="/v1/checkpoints", tags=["checkpoints"])


class BundleFileOut(ResponseModel):
    """A file of a bundle."""

    path: str = Field(description="Path in the bundle.")
    size: int = Field(description="Size in bytes.")
    sha256: str
    url: str = Field(description="Path of the download: `/v1/checkpoints/{id}/files/{path}`.")


class CheckpointOut(ResponseModel):
    """A trained student."""

    object: Literal["checkpoint"] = "checkpoint"
    id: str
    job_id: str
    dataset_id: str
    vocabulary_id: str
    attribute_set_id: str | None
    text_targets_id: str
    teacher_id: str
    student: str = Field(description="Architecture of the student.")
    text: TextKind = Field(description="Which attributes the texts contain besides the label's name.")
    evaluation: dict[str, Any] = Field(description="Results of the evaluation, by part: `id`, `ood`.")
    digest: str = Field(description="The sha256 of the bundle's manifest.")
    owner: str | None = Field(None, description=OWNER)
    created_at: Timestamp


class CheckpointWithFilesOut(CheckpointOut):
    """A trained student with the files of its bundle."""

    files: list[BundleFileOut]


class GuessOut(ResponseModel):
    """A label that an image may have."""

    label: str
    confidence: float = Field(description="Softmax over the seen labels, or over the unseen labels; 0 to 1.")


class SampleOut(ResponseModel):
    """An evaluated image."""

    row: int = Field(description="Position in the index of the dataset.")
    is_right: bool = Field(description="Whether the prediction is a label of the image.")
    guesses: list[GuessOut] = Field(description="The prediction, and the runner-up if there are two labels.")
    thumbnail: str = Field(description="Path of the thumbnail.")


class SamplesOut(ResponseModel):
    """Evaluated images of a label."""

    object: Literal["samples"] = "samples"
    label: str
    data: list[SampleOut]


@router.get("", response_model=Page[CheckpointOut])
def list_all(
    services: ServicesDep,
    limit: Limit = 20,
    after: After = None,
    owner: OwnerFilter = None,
    job_id: str | None = None,
    dataset_id: str | None = None,
    attribute_set_id: str | None = None,
) -> object:
    """Checkpoints, newest first."""
    with services.db.read() as tx:
        rows, more = resources.page(
            tx,
            Checkpoint,
            limit=limit,
            after=after,
            owner=owner,
            job_id=job_id,
            dataset_id=dataset_id,
            attribute_set_id=attribute_set_id,
        )
        return page([CheckpointOut.model_validate(row) for row in rows], more, lambda item: item.id)


@router.get("/{id}", response_model=CheckpointWithFilesOut)
def get(services: ServicesDep, id: str) -> object:
    """A checkpoint with the files of its bundle."""
    with services.db.read() as tx:
        fields = CheckpointOut.model_validate(resources.checkpoint(tx, id)).model_dump()
        files = [
            BundleFileOut(
                path=row.path, size=row.size, sha256=row.sha256, url=f"/v1/checkpoints/{id}/files/{quote(row.path)}"
            )
            for row in resources.checkpoint_files(tx, id)
        ]
    return CheckpointWithFilesOut(**fields, files=files)


@router.get("/{id}/samples", response_model=SamplesOut)
def samples(
    services: ServicesDep, id: str, label: Annotated[str, Query(max_length=1000, description="Name of the label.")]
) -> object:
    """Up to 12 evaluated images of a label with what the student took them for: mistakes first."""
    with services.db.read() as tx:
        row = resources.checkpoint_without_evaluation(tx, id)
    return SamplesOut(label=label, data=samples_of(services.artefacts, row, label))


def samples_of(artefacts: Artefacts, row: Checkpoint, label: str) -> list[SampleOut]:
    """The samples of a label. Raises ProblemError 404 for a label without images, or a student without samples."""
    if row.samples_key is None:
        detail = f"checkpoint {row.id} has no samples: it was trained on all images, or by an earlier release"
        raise ProblemError(404, "samples_not_found", detail)
    found = read_samples(artefacts, row.samples_key, label)
    if not found:
        detail = f"no image of the label {quoted(label)} was evaluated"
        raise ProblemError(404, "label_not_evaluated", detail)
    return [
        SampleOut(
            row=one.row,
            is_right=one.is_right,
            guesses=[GuessOut(label=guess, confidence=confidence) for guess, confidence in one.guesses],
            thumbnail=f"/v1/datasets/{row.dataset_id}/images/{one.row}/thumbnail",
        )
        for one in found
    ]


@router.delete("/{id}", status_code=204, response_class=Response, responses={**deletions.RESPONSES})
def delete(services: ServicesDep, idempotency: IdempotencyDep, id: str, force: deletions.Force = False) -> Response:
    """Delete a checkpoint and the files of its bundle."""
    return deletions.delete(services, idempotency, "checkpoint", id, force=force)


@router.get("/{id}/archive", response_class=Response, responses=zip_download.RESPONSES)
def archive(services: ServicesDep, id: str) -> Response:
    """Download all files of the bundle as one ZIP archive, in a folder with the id of the checkpoint.

    It is made while it is sent: an interrupted download starts again. The single files can be resumed.
    """
    with services.db.read() as tx:
        checkpoint = resources.checkpoint_without_evaluation(tx, id)
        members = [
            zip_download.ZippedFile(
                row.path,
                downloads.StoredFile(content_of(tx, row), row.sha256, row.size, row.path.rpartition("/")[2]),
            )
            for row in resources.checkpoint_files(tx, id)
        ]
    return zip_download.zip_response(services.artefacts, members, name=id, made_at=checkpoint.created_at)


@router.get("/{id}/files/{path:path}", response_class=Response, responses=downloads.RESPONSES)
@router.head("/{id}/files/{path:path}", include_in_schema=False)
def file(request: Request, services: ServicesDep, id: str, path: str) -> Response:
    """Download a file of the bundle. The ETag is the sha256; Range, If-Range and If-None-Match are supported."""
    with services.db.read() as tx:
        row = resources.checkpoint_file(tx, id, path)
        content = content_of(tx, row)
    stored = downloads.StoredFile(content, row.sha256, row.size, path.rpartition("/")[2])
    return downloads.file_response(request, services.artefacts, stored)
