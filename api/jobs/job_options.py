"""Fields that the requests for several kinds of job have."""

from typing import Annotated

from pydantic import Field

from api.http.problems import StorableRequestModel
from distill.texts.text_templates import PromptOptions, TextKind

SET_FIELD = Field(None, description="The source of every text except `names`.")
PROMPT_FIELD = Field(
    PromptOptions(), description="Concept word, templates, and whether texts contain the label's name."
)
TextOfLabels = Annotated[TextKind, Field(description="The text of a label that the teacher encodes besides its name.")]
MAX_PRIORITY = 100
Priority = Annotated[
    int,
    Field(
        ge=-MAX_PRIORITY,
        le=MAX_PRIORITY,
        description="Parts of jobs with a higher priority come first in their queue; those that run go on.",
    ),
]


class JobRequestModel(StorableRequestModel):
    """The body of a request for a job."""

    priority: Priority = 0
