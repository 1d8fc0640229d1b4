"""Teachers as requests name them: held against the catalogue, a local folder against the data root."""

from pathlib import Path
from typing import Any

from pydantic import Field

from api.http.problems import ProblemError, refused
from api.readers.data_root import below_data_root
from distill.config.model_names import UnknownName, check_teacher

TEACHER: Any = Field(
    min_length=1,
    max_length=1000,
    description="`name:tag` of open_clip, `hf-hub:org/name`, or `local-dir:path` below the data root.",
    examples=["ViT-B-32:openai"],
)


def teacher_ref(given: str, data_root: Path) -> str:
    """The teacher's one string. Raises ProblemError that points at `/teacher`."""
    try:
        ref = check_teacher(given)
    except UnknownName as error:
        raise refused("teacher_unknown", str(error), "/teacher") from None
    if ref.kind == "local-dir":
        try:
            below_data_root(data_root, ref.model)
        except ProblemError as error:
            raise refused(error.code, error.detail, "/teacher") from None
    return str(ref)
