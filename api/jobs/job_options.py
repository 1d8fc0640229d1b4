"""Fields that the requests for all kinds of job have."""

from typing import Annotated

from pydantic import Field

from api.http.problems import StorableRequestModel

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
