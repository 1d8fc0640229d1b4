"""Teachers that a worker has loaded: what is known of each."""

from typing import Any, Literal

from fastapi import APIRouter

from api.http.dependencies import Use
from api.http.schemas import After, Limit, Output, Page, Time, page
from store import resources
from store.models import Teacher

router = APIRouter(prefix="/v1/teachers", tags=["teachers"])


class TeacherOut(Output):
    """A teacher by its weights' digest; `ref` is the name it was first loaded by."""

    object: Literal["teacher"] = "teacher"
    id: str
    ref: str
    digest: str
    width: int
    context_length: int
    logit_scale: float
    preprocess: dict[str, Any]
    created_at: Time


@router.get("", response_model=Page[TeacherOut])
def list_all(use: Use, limit: Limit = 20, after: After = None, ref: str | None = None) -> object:
    """Teachers, newest first; those of one reference where `ref` is given."""
    with use.db.read() as tx:
        rows, more = resources.page(tx, Teacher, limit=limit, after=after, ref=ref)
        return page([TeacherOut.model_validate(row) for row in rows], more, lambda one: one.id)


@router.get("/{id}", response_model=TeacherOut)
def get(use: Use, id: str) -> object:
    """A teacher."""
    with use.db.read() as tx:
        return TeacherOut.model_validate(resources.teacher(tx, id))
