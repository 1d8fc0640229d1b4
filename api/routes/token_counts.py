"""Token counts of lines as a teacher reads them, without torch: an editor shows them while a person types."""

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import Field

from api.http.dependencies import ServicesDep
from api.http.json_bodies import LargeJSONRoute
from api.http.problems import unprocessable
from api.http.schemas import ONE_FAULT, RequestModel, ResponseModel
from attributes.editing import MAX_TEXT_CHARS
from attributes.types import LineKind
from distill.data.image_files.parquet_rows import SharedLRU
from limbeck.shared.labels import MAX_LABEL_CHARS, quoted
from limbeck.shared.templates import render_line
from store import resources
from store.artefacts import Artefacts
from store.models import Teacher

if TYPE_CHECKING:
    from attributes.gates.token_lengths import TokenCounter

router = APIRouter(prefix="/v1/token-counts", tags=["teachers"], route_class=LargeJSONRoute)
_MAX_LINES = 100
_MAX_COUNTERS = 4


class CountedLineIn(RequestModel):
    """A line of a label."""

    label: str = Field(max_length=MAX_LABEL_CHARS, description="Name of the label.")
    kind: LineKind
    text: str = Field(max_length=MAX_TEXT_CHARS)


class TokenCountsIn(RequestModel):
    """Lines whose tokens are counted."""

    teacher: str | None = Field(
        None,
        max_length=1000,
        description="`ref` of a teacher of `GET /v1/teachers`. Without one, tokens are counted with CLIP's vocabulary.",
    )
    lines: Annotated[list[CountedLineIn], ONE_FAULT, Field(min_length=1, max_length=_MAX_LINES)]


class TokenCountsOut(ResponseModel):
    """The tokens of lines as a teacher reads them, as the gate `length` counts them."""

    object: Literal["token_counts"] = "token_counts"
    teacher: str | None = Field(description="The teacher whose tokenizer counted; null: CLIP's vocabulary.")
    context_length: int = Field(description="Maximum number of tokens of a text.")
    num_tokens: list[int] = Field(
        description="Tokens of each line with the label's name before it and the special tokens, in order."
    )


class TokenCounters:
    """The token counters of teachers, made from their stored tokenizers; the last ones are kept in memory."""

    def __init__(self, artefacts: Artefacts) -> None:
        self._artefacts = artefacts
        self._counters: SharedLRU[TokenCounter] = SharedLRU(_MAX_COUNTERS, lambda _: 1)

    def of(self, teacher: Teacher | None) -> "TokenCounter":
        """The counter of a teacher, or of CLIP's vocabulary. Raises FileNotFoundError without the tokenizer's file."""
        key = teacher.tokenizer_key if teacher else ""
        return self._counters.get(key, lambda: self._made(teacher))

    def _made(self, teacher: Teacher | None) -> "TokenCounter":
        from attributes.gates import token_lengths  # imported late: it loads tokenizers

        if teacher is None:
            return token_lengths.clip_token_counter()
        with self._artefacts.open(teacher.tokenizer_key) as file:
            return token_lengths.token_counter_from_file(file.read(), teacher.context_length, teacher.ref)


@router.post("", response_model=TokenCountsOut)
def count(request: Request, services: ServicesDep, body: TokenCountsIn) -> object:
    """Count the tokens of lines as the gate `length` does: in the text that the teacher encodes. Nothing is stored."""
    teacher: Teacher | None = None
    if body.teacher is not None:
        with services.db.read() as tx:
            teacher = resources.newest_teacher(tx, body.teacher)
        if teacher is None:
            detail = f"no worker has loaded the teacher {quoted(body.teacher)}: GET /v1/teachers lists those that were"
            raise unprocessable("teacher_not_loaded", detail, "/teacher")
    counters: TokenCounters = request.app.state.token_counters
    counter = counters.of(teacher)
    texts = [render_line(line.label, line.kind, line.text) for line in body.lines]
    return TokenCountsOut(
        teacher=teacher.ref if teacher else None, context_length=counter.context, num_tokens=counter.count(texts)
    )
