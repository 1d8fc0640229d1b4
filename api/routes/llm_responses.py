"""LLM responses: the messages and the response from which a line of an attribute set comes, by the line's `call`."""

from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

from fastapi import APIRouter
from pydantic import Field, field_validator

from api.http.dependencies import ServicesDep
from api.http.schemas import ResponseModel, Timestamp
from store.enrich import results

router = APIRouter(prefix="/v1/answers", tags=["attribute sets"])


class LLMResponseOut(ResponseModel):
    """A valid response of the LLM and the messages that were sent."""

    object: Literal["answer"] = "answer"
    key: str = Field(description="Hash of everything that determines the response. It is the cache key.")
    model: str
    base_url: str = Field(description="URL of the LLM server, without credentials and query.")
    strategy: str = Field(description="Name and version of the strategy, such as `phrases@1`.")
    messages: list[dict[str, Any]] = Field(description="The chat messages that were sent.")
    answer: str = Field(description="The text of the response.")
    created_at: Timestamp

    @field_validator("base_url")
    @classmethod
    def _remove_credentials(cls, url: str) -> str:
        parts = urlsplit(url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


@router.get("/{key}", response_model=LLMResponseOut)
def get(services: ServicesDep, key: str) -> object:
    """The messages and the response, unchanged."""
    with services.db.read() as tx:
        return LLMResponseOut.model_validate(results.get_response(tx, key))
