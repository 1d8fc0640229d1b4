"""What an LLM was asked and what it answered: where a line of an attribute set, by its `call`, comes from."""

from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

from fastapi import APIRouter
from pydantic import field_validator

from api.http.dependencies import Use
from api.http.schemas import Output, Time
from store.enrich import results

router = APIRouter(prefix="/v1/answers", tags=["attribute sets"])


class AnswerOut(Output):
    """A validated answer under the key of everything that shaped it."""

    object: Literal["answer"] = "answer"
    key: str
    model: str
    base_url: str
    strategy: str
    messages: list[dict[str, Any]]
    answer: str
    created_at: Time

    @field_validator("base_url")
    @classmethod
    def _without_secrets(cls, url: str) -> str:
        parts = urlsplit(url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


@router.get("/{key}", response_model=AnswerOut)
def get(use: Use, key: str) -> object:
    """The prompt's messages and the LLM's answer, as they were sent and as it came."""
    with use.db.read() as tx:
        return AnswerOut.model_validate(results.answer(tx, key))
