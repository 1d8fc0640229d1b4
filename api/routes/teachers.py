"""Teachers: the teacher models that GPU workers have loaded."""

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import Field

from api.http.dependencies import ServicesDep
from api.http.schemas import After, Limit, Page, ResponseModel, Timestamp, page
from store import resources
from store.models import Teacher

router = APIRouter(prefix="/v1/teachers", tags=["teachers"])


class TeacherOut(ResponseModel):
    """A teacher model, identified by the digest of its weights."""

    object: Literal["teacher"] = "teacher"
    id: str
    ref: str = Field(description="The reference by which it was first loaded.")
    digest: str = Field(description="Digest of the weights.")
    width: int = Field(description="Dimension of the embedding.")
    context_length: int = Field(description="Maximum number of tokens of a text.")
    logit_scale: float = Field(description="Factor of the cosine similarities in the logits.")
    preprocess: dict[str, Any] = Field(description="Preprocessing of images: size, mean, standard deviation.")
    created_at: Timestamp


@router.get("", response_model=Page[TeacherOut])
def list_all(services: ServicesDep, limit: Limit = 20, after: After = None, ref: str | None = None) -> object:
    """Teachers, newest first; with `ref`, only the teachers of this reference."""
    with services.db.read() as tx:
        rows, more = resources.page(tx, Teacher, limit=limit, after=after, ref=ref)
        return page([TeacherOut.model_validate(row) for row in rows], more, lambda item: item.id)


@router.get("/{id}", response_model=TeacherOut)
def get(services: ServicesDep, id: str) -> object:
    """A teacher."""
    with services.db.read() as tx:
        return TeacherOut.model_validate(resources.teacher(tx, id))
