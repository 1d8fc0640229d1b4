"""Text targets: a teacher's features of the texts of a vocabulary's labels, and the file that contains them."""

from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field, TypeAdapter
from starlette.responses import Response

from api.http import deletions, downloads
from api.http.dependencies import IdempotencyDep, OwnerFilter, ServicesDep
from api.http.schemas import OWNER, After, Limit, Page, ResponseModel, Timestamp, page
from distill.texts.text_templates import TextKind
from store import resources, vocabularies
from store.blobs.reading import whole_file
from store.models import TextTargets

router = APIRouter(prefix="/v1/text-targets", tags=["text targets"])


class TextTargetsOut(ResponseModel):
    """A teacher's text features of shape (num_labels, width), one row per label."""

    object: Literal["text_targets"] = "text_targets"
    id: str
    vocabulary_id: str
    attribute_set_id: str | None
    teacher_id: str
    job_id: str
    text: TextKind = Field(description="Which attributes the texts contain besides the label's name.")
    num_labels: int
    width: int = Field(description="Dimension of the features.")
    report: dict[str, Any] = Field(description="The labels whose text was truncated or fell back to the name.")
    digest: str = Field(description="The sha256 of the file.")
    size: int = Field(description="Size of the file in bytes.")
    owner: str | None = Field(None, description=OWNER)
    created_at: Timestamp


@router.get("", response_model=Page[TextTargetsOut])
def list_all(
    services: ServicesDep,
    limit: Limit = 20,
    after: After = None,
    owner: OwnerFilter = None,
    vocabulary_id: str | None = None,
    attribute_set_id: str | None = None,
) -> object:
    """Text targets, newest first."""
    with services.db.read() as tx:
        rows, more = resources.page(
            tx,
            TextTargets,
            limit=limit,
            after=after,
            owner=owner,
            vocabulary_id=vocabulary_id,
            attribute_set_id=attribute_set_id,
        )
        return page([TextTargetsOut.model_validate(row) for row in rows], more, lambda item: item.id)


@router.get("/{id}", response_model=TextTargetsOut)
def get(services: ServicesDep, id: str) -> object:
    """Text targets."""
    with services.db.read() as tx:
        return TextTargetsOut.model_validate(resources.text_targets(tx, id))


@router.delete("/{id}", status_code=204, response_class=Response, responses={**deletions.RESPONSES})
def delete(services: ServicesDep, idempotency: IdempotencyDep, id: str, force: deletions.Force = False) -> Response:
    """Delete text targets and their file."""
    return deletions.delete(services, idempotency, "text_targets", id, force=force)


class TargetLabelOut(ResponseModel):
    """A label, in the order of the features."""

    label: str
    sense: str | None


class TargetTeacherOut(ResponseModel):
    """The teacher that encoded the texts."""

    ref: str
    digest: str = Field(description="Digest of its weights. A student can use text targets of its own teacher only.")


class TargetLabelsOut(ResponseModel):
    """The labels of text targets, as `targets/labels.json` of a bundle has them."""

    text_targets_id: str
    text: TextKind
    teacher: TargetTeacherOut
    labels: list[TargetLabelOut]


@router.get("/{id}/labels.json", response_model=TargetLabelsOut)
def labels(services: ServicesDep, id: str) -> Response:
    """The labels of the features, in order.

    In a folder with the features as `text_targets.safetensors`, they replace `targets/` of a bundle whose student was
    distilled from the same teacher.
    """
    with services.db.read() as tx:
        row = resources.text_targets(tx, id)
        teacher = resources.teacher(tx, row.teacher_id)
        rows = vocabularies.label_rows(tx, row.vocabulary_id)
    out = TargetLabelsOut(
        text_targets_id=row.id,
        text=TypeAdapter(TextKind).validate_python(row.text),
        teacher=TargetTeacherOut(ref=teacher.ref, digest=teacher.digest),
        labels=[TargetLabelOut(label=name, sense=sense) for name, sense, _ in rows],
    )
    return Response(out.model_dump_json(), media_type="application/json")


@router.get("/{id}/file", response_class=Response, responses=downloads.RESPONSES)
@router.head("/{id}/file", include_in_schema=False)
def file(request: Request, services: ServicesDep, id: str) -> Response:
    """Download the features (safetensors). The ETag is the sha256; Range, If-Range and If-None-Match are supported."""
    with services.db.read() as tx:
        row = resources.text_targets(tx, id)
    stored = downloads.StoredFile(whole_file(row.file_key), row.digest, row.size, f"{row.id}.safetensors")
    return downloads.file_response(request, services.artefacts, stored)
