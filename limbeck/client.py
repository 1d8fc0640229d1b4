"""The Python client of a Limbeck service.

    from limbeck.client import Limbeck

    with Limbeck("http://127.0.0.1:8420") as limbeck:
        birds = limbeck.create_vocabulary("birds", ["Laysan albatross", "crested auklet"], domain="birds")
        job = limbeck.wait(limbeck.enrich(birds.id))
        for entry in limbeck.attributes(job.result["attribute_set_id"]):
            print(entry.label, entry.sentence)

Failed requests are retried (`limbeck.http`). Every method raises `Problem` if the service rejects a request and
`Unreachable` if it does not respond; both are a `LimbeckError`. The methods are in `limbeck.resources`.
"""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import httpx2

from limbeck.drafts import Drafts
from limbeck.errors import BrokenDownload, FieldError, JobFailed, LimbeckError, Problem, Unreachable
from limbeck.http import ATTEMPTS, Http
from limbeck.models import (
    Attributes,
    AttributeSet,
    Call,
    CaptionSet,
    Checkpoint,
    CheckpointWithFiles,
    Dataset,
    Draft,
    DraftChanged,
    Estimate,
    Event,
    Job,
    Label,
    LabelDifference,
    LabelResult,
    LLMAnswer,
    LLMEndpoint,
    LLMProfile,
    Report,
    SetLabel,
    Teacher,
    TextTargets,
    Vocabulary,
)
from limbeck.resources.attribute_sets import AttributeSetMethods
from limbeck.resources.checkpoints import BUNDLE_PARTS, CheckpointMethods
from limbeck.resources.datasets import DatasetMethods
from limbeck.resources.jobs import EnrichOptions, JobMethods
from limbeck.resources.llm import LLMMethods
from limbeck.resources.vocabularies import VocabularyMethods
from limbeck.shared.format_names import DocumentFormat, FileFormat

__all__ = [
    "BUNDLE_PARTS",
    "AttributeSet",
    "Attributes",
    "BrokenDownload",
    "Call",
    "CaptionSet",
    "Checkpoint",
    "CheckpointWithFiles",
    "Dataset",
    "DocumentFormat",
    "Draft",
    "DraftChanged",
    "EnrichOptions",
    "Estimate",
    "Event",
    "FieldError",
    "FileFormat",
    "Job",
    "JobFailed",
    "LLMAnswer",
    "LLMEndpoint",
    "LLMProfile",
    "Label",
    "LabelDifference",
    "LabelResult",
    "Limbeck",
    "LimbeckError",
    "Problem",
    "Report",
    "SetLabel",
    "Teacher",
    "TextTargets",
    "Unreachable",
    "Vocabulary",
]


class Limbeck(VocabularyMethods, AttributeSetMethods, DatasetMethods, JobMethods, CheckpointMethods, LLMMethods):
    """A client of the service at `base_url`. `key`: the secret that `limbeck key create` printed, if the service
    requires one."""

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8420",
        key: str | None = None,
        *,
        attempts: int = ATTEMPTS,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._http = Http(base_url, key=key, attempts=attempts, sleep=sleep, transport=transport)
        self.drafts = Drafts(self._http)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ready(self) -> bool:
        """Whether the service is ready: database, queue and workers are available (`/readyz`)."""
        try:
            self._http.request("GET", "/readyz", attempts=1)
        except Problem as problem:
            if problem.status == 503:
                return False
            raise
        return True
