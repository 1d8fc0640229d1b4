"""Vocabularies: create from a label list, get, and list labels."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field, ValidationError
from sqlalchemy.orm import Session
from starlette.responses import Response

from api.http.dependencies import Created, IdempotencyDep, RawBody, ServicesDep
from api.http.problems import ProblemError, invalid_parameter
from api.http.schemas import (
    After,
    AfterPosition,
    Domain,
    Limit,
    LongLimit,
    Name,
    Page,
    RequestModel,
    ResponseModel,
    Timestamp,
    page,
)
from api.readers import label_files
from api.readers.label_files import VocabularyIn
from store import resources, vocabularies
from store.models import Vocabulary
from store.vocabularies import NewLabel

router = APIRouter(prefix="/v1/vocabularies", tags=["vocabularies"])


class VocabularyOut(ResponseModel):
    """An ordered, immutable list of labels."""

    object: Literal["vocabulary"] = "vocabulary"
    id: str
    name: str
    domain: str = Field(description="Category of the labels, such as `birds`; empty if unknown.")
    digest: str = Field(description="Digest of the domain and the labels.")
    num_labels: int
    created_at: Timestamp


class LabelOut(ResponseModel):
    """A label of a vocabulary."""

    object: Literal["label"] = "label"
    position: int = Field(description="Position in the vocabulary, from 0.")
    name: str
    sense: str | None = Field(description="Distinguishes labels of the same name.")


class VocabularyParameters(RequestModel):
    """The query parameters of a text/csv or text/plain upload."""

    name: Name
    domain: Domain = ""


_TEXT = {"schema": {"type": "string"}}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": VocabularyIn.model_json_schema(ref_template="#/components/schemas/{model}")},
            "text/csv": _TEXT | {"example": "name,sense\ncrane,the bird\ncrane,the machine\n"},
            "text/plain": _TEXT | {"example": "Laysan albatross\ncrested auklet\n"},
        },
    }
}
_PARAMETER_DESCRIPTION = "For text/csv and text/plain. A JSON body has a field instead."


@router.post("", status_code=201, response_model=VocabularyOut, openapi_extra=_BODY)
def create(
    request: Request,
    idempotency: IdempotencyDep,
    body: RawBody,
    name: Annotated[str | None, Query(description=_PARAMETER_DESCRIPTION)] = None,
    domain: Annotated[str | None, Query(description=_PARAMETER_DESCRIPTION)] = None,
) -> Response:
    """Create a vocabulary from JSON, text/csv (header `name` or `name,sense`) or text/plain (one label per line)."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    labels: list[NewLabel]
    if media_type == "application/json":
        new_name, new_domain, labels = label_files.parse_json(body)
    elif media_type in ("text/csv", "text/plain"):
        parameters = _validate_parameters(name, domain)
        new_name, new_domain = parameters.name, parameters.domain
        labels = label_files.parse_csv(body) if media_type == "text/csv" else label_files.parse_plain_text(body)
    else:
        detail = f"post application/json, text/csv or text/plain, not {media_type or 'an untyped body'}"
        raise ProblemError(415, "unsupported_media_type", detail)

    def write(tx: Session) -> Created:
        row = vocabularies.create(tx, name=new_name, domain=new_domain, labels=labels)
        return VocabularyOut.model_validate(row), f"/v1/vocabularies/{row.id}"

    return idempotency.respond(write)


def _validate_parameters(name: str | None, domain: str | None) -> VocabularyParameters:
    try:
        return VocabularyParameters.model_validate({"name": name or "", "domain": domain or ""})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        detail = str(first["msg"]).removeprefix("Value error, ")
        raise invalid_parameter(str(first["loc"][0]), detail) from None


@router.get("", response_model=Page[VocabularyOut])
def list_all(services: ServicesDep, limit: Limit = 20, after: After = None) -> object:
    """Vocabularies, newest first."""
    with services.db.read() as tx:
        rows, more = resources.page(tx, Vocabulary, limit=limit, after=after)
        return page([VocabularyOut.model_validate(row) for row in rows], more, lambda item: item.id)


@router.get("/{id}", response_model=VocabularyOut)
def get(services: ServicesDep, id: str) -> object:
    """A vocabulary, without its labels."""
    with services.db.read() as tx:
        return VocabularyOut.model_validate(vocabularies.get(tx, id))


@router.get("/{id}/labels", response_model=Page[LabelOut])
def labels(services: ServicesDep, id: str, limit: LongLimit = 100, after: AfterPosition = None) -> object:
    """The labels of a vocabulary, in order. `after` is a position."""
    start = 0 if after is None else after + 1
    with services.db.read() as tx:
        vocabulary = vocabularies.get(tx, id)
        rows = vocabularies.labels(tx, id, start=start, stop=start + limit)
        more = start + limit < vocabulary.num_labels
        return page([LabelOut.model_validate(row) for row in rows], more, lambda item: item.position)
