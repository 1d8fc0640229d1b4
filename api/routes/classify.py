"""Try a student: the scores of its labels, and of new words, for one picture."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field

from api.http.dependencies import RawBody, ServicesDep
from api.http.problems import ProblemError
from api.http.schemas import ResponseModel
from api.readers.student_models import PATHS, TEXT_GRAPH, StudentModels
from limbeck.shared.bundle.open_set import OpenSetScore
from store import resources
from store.blobs.reading import contents

router = APIRouter(prefix="/v1/checkpoints", tags=["checkpoints"])
_MAX_WAITING = 8
_waiting = threading.BoundedSemaphore(_MAX_WAITING)
_MAX_WORDS = 50
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
Words = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=200)]] | None,
    Query(max_length=_MAX_WORDS, description="New labels beside those of the student; repeat it for several."),
]
Top = Annotated[
    int, Query(ge=1, le=100, description="Number of labels; a multi-label student gives all above its threshold.")
]
Score = Annotated[
    OpenSetScore,
    Query(description="By what `none_of_these` is judged; 409 `score_missing` if the student has no threshold of it."),
]


class LabelScoreOut(ResponseModel):
    """A label and its score."""

    label: str
    confidence: float = Field(
        description="Softmax over all labels and words at the student's temperature, or the probability of this label "
        "by itself if pictures can have several; 0 to 1."
    )
    is_new: bool = Field(description="Whether it is a word of the request.")


class ClassificationOut(ResponseModel):
    """What a student sees in a picture."""

    object: Literal["classification"] = "classification"
    labels: list[LabelScoreOut] = Field(
        description="Best first. Of a multi-label student all labels above its threshold; none if there are none."
    )
    cosine: float = Field(description="Largest cosine between the picture and the text of a label.")
    score: OpenSetScore = Field(description="By what `none_of_these` is judged.")
    score_value: float = Field(description="That score of the picture; the larger, the more surely a label fits.")
    none_of_these: bool | None = Field(
        description="Whether no label fits, by the student's threshold; null without one, and with new words unless "
        "pictures can have several labels."
    )


@router.post("/{id}/classify", response_model=ClassificationOut, openapi_extra=_BODY)
def classify(
    request: Request,
    services: ServicesDep,
    body: RawBody,
    id: str,
    word: Words = None,
    top: Top = 5,
    score: Score = "cosine",
) -> object:
    """Classify the picture in the body, an image file of up to 20 MB, among the labels of the student and new words.

    New words need `onnx/text.onnx` in the bundle (`text_onnx` of the training). Nothing is stored.
    """
    words = [text for one in word or () if (text := " ".join(one.split()))]
    with services.db.read() as tx:
        row = resources.checkpoint_without_evaluation(tx, id)
        files = contents(tx, id, PATHS)
    if "onnx/image.onnx" not in files:
        detail = f"checkpoint {id} has no onnx/image.onnx: train with bundle.onnx, or load it with timm"
        raise ProblemError(409, "no_onnx", detail)
    if words and TEXT_GRAPH not in files:
        detail = (
            f"checkpoint {id} has no {TEXT_GRAPH}, which encodes new words: train with bundle.text_onnx, or encode the "
            "words as a vocabulary and evaluate the student on its images"
        )
        raise ProblemError(409, "no_text_encoder", detail)
    models: StudentModels = request.app.state.student_models
    with _place():
        found = models.classify(body, row.digest, files, words, top=top, score=score)
    return ClassificationOut(
        labels=[
            LabelScoreOut(label=one.label, confidence=one.confidence, is_new=one.label in words) for one in found.labels
        ],
        cosine=found.cosine,
        score=score,
        score_value=found.cosine if found.score is None else found.score,
        none_of_these=found.none_of_these,
    )


@contextlib.contextmanager
def _place() -> Iterator[None]:
    if not _waiting.acquire(blocking=False):
        detail = f"{_MAX_WAITING} other pictures are classified or wait: try again in a moment"
        raise ProblemError(503, "too_many_pictures", detail, headers={"Retry-After": "5"})
    try:
        yield
    finally:
        _waiting.release()
