"""Checkpoints: trained students' bundles, and their files to download."""

from typing import Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.http import downloads as files
from api.http.dependencies import Use
from api.http.schemas import After, Limit, Output, Page, Time, page
from distill.texts.text_templates import TextKind
from store import resources
from store.models import Checkpoint

router = APIRouter(prefix="/v1/checkpoints", tags=["checkpoints"])


class BundleFile(Output):
    """A file of a bundle."""

    path: str
    size: int
    sha256: str
    url: str


class CheckpointOut(Output):
    """A trained student; `digest` is the sha256 of its bundle's manifest."""

    object: Literal["checkpoint"] = "checkpoint"
    id: str
    job_id: str
    dataset_id: str
    vocabulary_id: str
    attribute_set_id: str | None
    text_targets_id: str
    teacher_id: str
    student: str
    text: TextKind
    evaluation: dict[str, Any]
    digest: str
    created_at: Time


class CheckpointWithFiles(CheckpointOut):
    """A trained student with what its bundle holds."""

    files: list[BundleFile]


@router.get("", response_model=Page[CheckpointOut])
def list_all(
    use: Use,
    limit: Limit = 20,
    after: After = None,
    job_id: str | None = None,
    dataset_id: str | None = None,
    attribute_set_id: str | None = None,
) -> object:
    """Checkpoints, newest first."""
    with use.db.read() as tx:
        rows, more = resources.page(
            tx,
            Checkpoint,
            limit=limit,
            after=after,
            job_id=job_id,
            dataset_id=dataset_id,
            attribute_set_id=attribute_set_id,
        )
        return page([CheckpointOut.model_validate(row) for row in rows], more, lambda one: one.id)


@router.get("/{id}", response_model=CheckpointWithFiles)
def get(use: Use, id: str) -> object:
    """A checkpoint and the files of its bundle."""
    with use.db.read() as tx:
        known = CheckpointOut.model_validate(resources.checkpoint(tx, id)).model_dump()
        held = [
            BundleFile(
                path=row.path, size=row.size, sha256=row.sha256, url=f"/v1/checkpoints/{id}/files/{quote(row.path)}"
            )
            for row in resources.checkpoint_files(tx, id)
        ]
    return CheckpointWithFiles(**known, files=held)


@router.get("/{id}/files/{path:path}", response_class=Response, responses=files.RESPONSES)
@router.head("/{id}/files/{path:path}", include_in_schema=False)
def file(request: Request, use: Use, id: str, path: str) -> Response:
    """A file of the bundle; ETag is the sha256, and Range, If-Range and If-None-Match work."""
    with use.db.read() as tx:
        row = resources.checkpoint_file(tx, id, path)
    stored = files.StoredFile(row.file_key, row.sha256, row.size, path.rpartition("/")[2])
    return files.respond(request, use.artefacts, stored)
