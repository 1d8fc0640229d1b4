"""Vocabularies: POST a label list, read it back page by page."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import ValidationError
from sqlalchemy.orm import Session
from starlette.responses import Response

from api.http.dependencies import Made, OnlyOnce, RawBody, Use
from api.http.problems import ErrorItem, ProblemError
from api.http.schemas import After, AfterPosition, Input, Limit, LongLimit, Name, Output, Page, PlainText, Time, page
from api.readers import label_files
from api.readers.label_files import VocabularyIn
from store import resources, vocabularies
from store.models import Vocabulary
from store.vocabularies import NewLabel

router = APIRouter(prefix="/v1/vocabularies", tags=["vocabularies"])


class VocabularyOut(Output):
    """An ordered, immutable list of labels."""

    object: Literal["vocabulary"] = "vocabulary"
    id: str
    name: str
    domain: str
    digest: str
    num_labels: int
    created_at: Time


class LabelOut(Output):
    """A label at its place."""

    object: Literal["label"] = "label"
    position: int
    name: str
    sense: str | None


class Naming(Input):
    """What a JSON body says beside its labels, and the URL where the body is a bare list."""

    name: Name
    domain: PlainText = ""


_LIST = {"schema": {"type": "string"}}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": VocabularyIn.model_json_schema(ref_template="#/components/schemas/{model}")},
            "text/csv": _LIST | {"example": "name,sense\ncrane,the bird\ncrane,the machine\n"},
            "text/plain": _LIST | {"example": "Laysan albatross\ncrested auklet\n"},
        },
    }
}
_LIST_ONLY = "For text/csv and text/plain; in JSON it is a field."


@router.post("", status_code=201, response_model=VocabularyOut, openapi_extra=_BODY)
def create(
    request: Request,
    once: OnlyOnce,
    body: RawBody,
    name: Annotated[str | None, Query(description=_LIST_ONLY)] = None,
    domain: Annotated[str | None, Query(description=_LIST_ONLY)] = None,
) -> Response:
    """Keep a label list: JSON, text/csv (header `name` or `name,sense`) or text/plain (a label a line)."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    labels: list[NewLabel]
    if media_type == "application/json":
        given_name, given_domain, labels = label_files.from_json_body(body)
    elif media_type in ("text/csv", "text/plain"):
        naming = _naming(name, domain)
        given_name, given_domain = naming.name, naming.domain
        labels = label_files.from_csv(body) if media_type == "text/csv" else label_files.from_lines(body)
    else:
        detail = f"post application/json, text/csv or text/plain, not {media_type or 'an untyped body'}"
        raise ProblemError(415, "unsupported_media_type", detail)

    def make(tx: Session) -> Made:
        row = vocabularies.create(tx, name=given_name, domain=given_domain, labels=labels)
        return VocabularyOut.model_validate(row), f"/v1/vocabularies/{row.id}"

    return once.answer(make)


def _naming(name: str | None, domain: str | None) -> Naming:
    try:
        return Naming.model_validate({"name": name or "", "domain": domain or ""})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        detail = str(first["msg"]).removeprefix("Value error, ")
        parameter = str(first["loc"][0])
        problem = ProblemError(422, "invalid_request", f"{parameter} {detail}")
        problem.errors.append(ErrorItem(parameter=parameter, detail=detail))
        raise problem from None


@router.get("", response_model=Page[VocabularyOut])
def list_all(use: Use, limit: Limit = 20, after: After = None) -> object:
    """Vocabularies, newest first."""
    with use.db.read() as tx:
        rows, more = resources.page(tx, Vocabulary, limit=limit, after=after)
        return page([VocabularyOut.model_validate(row) for row in rows], more, lambda one: one.id)


@router.get("/{id}", response_model=VocabularyOut)
def get(use: Use, id: str) -> object:
    """A vocabulary without its labels."""
    with use.db.read() as tx:
        return VocabularyOut.model_validate(vocabularies.get(tx, id))


@router.get("/{id}/labels", response_model=Page[LabelOut])
def labels(use: Use, id: str, limit: LongLimit = 100, after: AfterPosition = None) -> object:
    """Labels in their order; `after` is a position, and any page costs the same."""
    start = 0 if after is None else after + 1
    with use.db.read() as tx:
        vocabulary = vocabularies.get(tx, id)
        rows = vocabularies.labels(tx, id, start=start, stop=start + limit)
        more = start + limit < vocabulary.num_labels
        return page([LabelOut.model_validate(row) for row in rows], more, lambda one: one.position)
