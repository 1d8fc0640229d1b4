"""One error with a stable code for everything that can go wrong when a teacher is loaded.

open_clip raises the errors of all libraries below it. `teacher_errors` maps them to `TeacherError` with a code:
`teacher_not_found` (no such name, folder or repository), `teacher_incomplete` (a part is missing, damaged or does not
fit), `teacher_unreachable` (the Hub did not respond), `teacher_unsupported` (it needs a library or feature that is
missing here).
"""

import importlib.util
import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

from huggingface_hub.errors import (
    GatedRepoError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors import SafetensorError

from limbeck.shared.text import first_line

NOT_ON_THE_HUB = (RepositoryNotFoundError, RevisionNotFoundError, RemoteEntryNotFoundError)
_PREPROCESS_CHOICES = {
    "interpolation": ("bicubic", "bilinear", "random"),
    "resize_mode": ("shortest", "longest", "squash"),
}
_OBJECT = re.compile(r"<[\w.]+ object at 0x[0-9a-f]+>")


class TeacherError(RuntimeError):
    """A teacher cannot be loaded. `code` is stable; the message is one line: teacher, reason and fix."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = re.sub(r"\s*[\r\n]\s*", " ", message)
        super().__init__(self.message)


def check_supported(ref: str, model_cfg: object) -> None:
    """Raise TeacherError for a config that lacks a tower, that names files outside the teacher's folder, or whose text
    tower needs transformers and it is missing."""
    if not isinstance(model_cfg, dict):
        raise TeacherError("teacher_incomplete", f"the config of {ref} has no object model_cfg")
    for part, tower in (("text_cfg", "text"), ("vision_cfg", "image")):
        if not isinstance(model_cfg.get(part), dict):
            raise TeacherError(
                "teacher_incomplete",
                f"{ref} has no {tower} tower (no {part} in its config): a teacher needs both; choose a CLIP model",
            )
    for part, field in (
        ("text_cfg", "hf_model_name"),
        ("text_cfg", "hf_tokenizer_name"),
        ("vision_cfg", "timm_model_name"),
    ):
        if not _is_name_inside(name := str(model_cfg[part].get(field) or "")):
            raise TeacherError(
                "teacher_not_found",
                f"{field} {name} of {ref} lies outside its folder: copy the files into it, and name that folder",
            )
    if not isinstance(model_cfg.get("embed_dim"), int):
        raise TeacherError("teacher_incomplete", f"the config of {ref} has no embed_dim: add it")
    if model_cfg["text_cfg"].get("hf_model_name") and importlib.util.find_spec("transformers") is None:
        raise TeacherError(
            "teacher_unsupported",
            f"the text tower of {ref} needs the transformers library, which is not installed: install the "
            f"dependency group transformers (`pip install transformers`), or choose another teacher",
        )


def _is_name_inside(name: str) -> bool:
    """Whether a name in a config can only mean a model of a library or the Hub, or a folder in the teacher's."""
    is_path = os.path.isabs(name) or name.startswith(("~", "local-dir:")) or "\\" in name
    return not is_path and ".." not in PurePosixPath(name).parts


def check_preprocess(ref: str, preprocess: Mapping[str, Any]) -> None:
    """Raise TeacherError for a preprocessing, of a config file, that cannot be applied or gives no finite pixels."""
    for name in ("mean", "std"):
        values = preprocess.get(name, [1.0] * 3)
        is_finite = isinstance(values, list | tuple) and all(_is_finite(value) for value in values)
        if not is_finite or len(values) != 3 or (name == "std" and min(values) <= 0):
            kind = "positive numbers" if name == "std" else "numbers"
            raise TeacherError(
                "teacher_incomplete", f"the preprocessing of {ref} has the {name} {values!r}: give three {kind}"
            )
    for name, known in _PREPROCESS_CHOICES.items():
        if preprocess.get(name, known[0]) not in known:
            raise TeacherError(
                "teacher_incomplete",
                f"the preprocessing of {ref} has the {name} {preprocess[name]!r}: give one of {', '.join(known)}",
            )


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def check_vocabulary(ref: str, token_ids: Sequence[int], num_tokens: int, end: int | None) -> None:
    """Raise TeacherError if the tokens of a text are not those of the text tower, which has `num_tokens`.

    `end`: the token whose feature is the text's. Without it in a text, all texts would have the same feature.
    """
    if end is not None and end not in token_ids:
        raise TeacherError(
            "teacher_incomplete",
            f"the text tower of {ref} ends a text with token {end}, which its tokenizer does not add: correct "
            "eos_token_id (eos_id in open_clip_config.json), or copy its own tokenizer next to the weights",
        )
    if max(token_ids) >= num_tokens:
        raise TeacherError(
            "teacher_incomplete",
            f"the tokenizer of {ref} gives token {max(token_ids)}, but its text tower has {num_tokens} tokens: correct "
            "hf_tokenizer_name in its config, or copy its own tokenizer next to the weights",
        )


@contextmanager
def teacher_errors(ref: str, *, needs: str = "") -> Iterator[None]:
    """Convert any exception raised while loading `ref` into a TeacherError.

    `needs`: what is read inside from the Hub or its cache for a teacher that may lie in a folder.
    """
    try:
        yield
    except TeacherError:
        raise
    except Exception as error:
        raise _translated(ref, error, needs) from error


def _translated(ref: str, error: Exception, needs: str) -> TeacherError:
    causes = list(_cause_chain(error))
    reason = _first_line(error)
    if any(isinstance(cause, GatedRepoError) for cause in causes):
        return TeacherError("teacher_not_found", f"{needs or ref} is gated: accept its terms there and set HF_TOKEN")
    if any(isinstance(cause, NOT_ON_THE_HUB) for cause in causes):
        return TeacherError("teacher_not_found", f"the Hub has no {needs or ref}, or not all of its files: {reason}")
    if any(isinstance(cause, SafetensorError | EOFError | json.JSONDecodeError) for cause in causes):
        return TeacherError("teacher_incomplete", f"a file of {ref} is damaged or truncated, copy it again: {reason}")
    if ref.startswith("local-dir:") and not needs:
        return TeacherError("teacher_incomplete", f"{ref} cannot be loaded: {reason}")
    if isinstance(error, FileNotFoundError | ConnectionError | OSError) or "download" in str(error).lower():
        return TeacherError(
            "teacher_unreachable",
            f"{needs or ref} is not on this machine and cannot be downloaded from the Hub: check the network and "
            f"HF_ENDPOINT, or give a folder{' there' if needs else ' as local-dir:'} ({reason})",
        )
    return TeacherError("teacher_incomplete", f"{ref} cannot be loaded: {reason}")


def _cause_chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {_OBJECT.sub('a file in memory', first_line(error))}"
