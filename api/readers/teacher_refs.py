"""Validation of teacher references in requests, against the model catalogue and, for paths, the data root."""

from pathlib import Path
from typing import Any

from pydantic import Field

from api.http.problems import ProblemError, unprocessable
from api.readers.data_root import resolve_file, resolve_folder
from distill.config.model_names import UnknownName, check_teacher

TEACHER_FIELD: Any = Field(
    min_length=1,
    max_length=1000,
    description="`name:tag` of open_clip, `name:path` of a weights file, `hf-hub:org/name`, or `local-dir:path` of a "
    "folder of open_clip or of a CLIP or SigLIP of transformers; paths are below the data root.",
    examples=["ViT-B-32:openai"],
)


def parse_teacher_ref(text: str, data_root: Path) -> str:
    """The normalised teacher reference (`str(TeacherRef)`). Raises ProblemError that points at `/teacher`."""
    try:
        ref = check_teacher(text)
    except UnknownName as error:
        raise unprocessable("teacher_unknown", str(error), "/teacher") from None
    if ref.path is not None:
        resolve = resolve_file if ref.kind == "weights-file" else resolve_folder
        try:
            resolve(data_root, ref.path)
        except ProblemError as error:
            raise unprocessable(error.code, error.detail, "/teacher") from None
    return str(ref)
