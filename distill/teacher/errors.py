"""One error with a stable code for everything that can go wrong when a teacher is loaded.

open_clip raises the errors of all libraries below it. `teacher_errors` maps them to `TeacherError` with a code:
`teacher_not_found` (no such name, folder or repository), `teacher_incomplete` (a part is missing, damaged or does not
fit), `teacher_unreachable` (the Hub did not respond), `teacher_unsupported` (it needs a library or feature that is
missing here).
"""

import importlib.util
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub.errors import RemoteEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError
from safetensors import SafetensorError

from distill.config.model_names import TeacherRef

CONFIG_FILE = "open_clip_config.json"
WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pth")
NOT_ON_THE_HUB = (RepositoryNotFoundError, RevisionNotFoundError, RemoteEntryNotFoundError)
TEXT_PARTS = ("text.", "token_embedding.", "positional_embedding", "transformer.", "ln_final.", "text_projection")


class TeacherError(RuntimeError):
    """A teacher cannot be loaded. `code` is stable; the message names the teacher, the reason and the fix."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def local_teacher_folder(ref: TeacherRef, root: Path | None) -> Path:
    """The folder of a `local-dir:` reference, with a config and weights. Raises TeacherError.

    With a `root`, the path is relative to it and must stay inside, links included.
    """
    folder = Path(ref.model) if root is None else root / ref.model
    if root is not None and not folder.resolve().is_relative_to(root.resolve()):
        raise TeacherError("teacher_not_found", f"{ref} lies outside the data root: give a path below it")
    if not folder.is_dir():
        raise TeacherError("teacher_not_found", f"{ref} is not a folder: put the teacher there, or correct the path")
    if not (folder / CONFIG_FILE).is_file():
        raise TeacherError("teacher_incomplete", f"{ref} holds no {CONFIG_FILE}: copy it next to the weights")
    if not any(path.suffix in WEIGHT_SUFFIXES for path in folder.iterdir()):
        raise TeacherError(
            "teacher_incomplete",
            f"{ref} holds a config but no weights: copy open_clip_model.safetensors there",
        )
    return folder


def check_supported(ref: str, model_cfg: object) -> None:
    """Raise TeacherError for a config that lacks a tower, or whose text tower needs transformers and it is missing."""
    if not isinstance(model_cfg, dict):
        raise TeacherError("teacher_incomplete", f"the config of {ref} has no object model_cfg")
    for part, tower in (("text_cfg", "text"), ("vision_cfg", "image")):
        if not isinstance(model_cfg.get(part), dict):
            raise TeacherError(
                "teacher_incomplete",
                f"{ref} has no {tower} tower (no {part} in its config): a teacher needs both; choose a CLIP model",
            )
    if not isinstance(model_cfg.get("embed_dim"), int):
        raise TeacherError("teacher_incomplete", f"the config of {ref} has no embed_dim: add it")
    if model_cfg["text_cfg"].get("hf_model_name") and importlib.util.find_spec("transformers") is None:
        raise TeacherError(
            "teacher_unsupported",
            f"the text tower of {ref} needs the transformers library, which is not installed: choose another teacher",
        )


@contextmanager
def teacher_errors(ref: str) -> Iterator[None]:
    """Convert any exception raised while loading `ref` into a TeacherError."""
    try:
        yield
    except TeacherError:
        raise
    except Exception as error:
        raise _translated(ref, error) from error


def _translated(ref: str, error: Exception) -> TeacherError:
    causes = list(_cause_chain(error))
    reason = _first_line(error)
    if any(isinstance(cause, NOT_ON_THE_HUB) for cause in causes):
        return TeacherError("teacher_not_found", f"the Hub has no {ref}, or not all of its files: {reason}")
    if any(isinstance(cause, SafetensorError | EOFError | json.JSONDecodeError) for cause in causes):
        return TeacherError("teacher_incomplete", f"a file of {ref} is damaged or truncated, copy it again: {reason}")
    if misfit := _misfit_of_weights(ref, str(error)):
        return TeacherError("teacher_incomplete", misfit)
    if ref.startswith("local-dir:"):
        return TeacherError("teacher_incomplete", f"{ref} cannot be loaded: {reason}")
    if isinstance(error, FileNotFoundError | ConnectionError | OSError) or "download" in str(error).lower():
        return TeacherError(
            "teacher_unreachable",
            f"{ref} is not on this machine and cannot be downloaded from the Hub: check the network and HF_ENDPOINT, "
            f"or give a folder as local-dir: ({reason})",
        )
    return TeacherError("teacher_incomplete", f"{ref} cannot be loaded: {reason}")


def _misfit_of_weights(ref: str, message: str) -> str:
    """How the weights do not fit the config, from torch's error message; empty for another error."""
    missing = _missing_keys(message)
    if missing and all(name.startswith(TEXT_PARTS) for name in missing):
        return (
            f"the weights of {ref} hold no complete text tower ({len(missing)} tensors missing, first {missing[0]}): "
            f"export both towers"
        )
    if missing or "size mismatch" in message or "Unexpected key" in message:
        first = f"tensor {missing[0]} is missing" if missing else message.splitlines()[-1].strip()
        return f"the weights of {ref} do not fit its config: {first}"
    return ""


def _cause_chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:300]}"


def _missing_keys(message: str) -> list[str]:
    listed = re.search(r"Missing key\(s\) in state_dict: (.*?)\.\s*(?:\n|$)", message)
    return re.findall(r'"([^"]+)"', listed.group(1)) if listed else []
