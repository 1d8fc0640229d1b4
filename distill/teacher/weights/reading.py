"""Tensors of a teacher's weights file, by the content of the file and not by its name.

Reads safetensors, the zip and the older format of `torch.save`, and checkpoints that hold a state dict beside other
entries, such as open_clip's `epoch_N.pt`. Nothing in a file can run code: pickles are read with `weights_only=True`.
Every refusal is one line that names the file, the reason and the remedy.
"""

import argparse
import json
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from distill.teacher.errors import TeacherError
from distill.teacher.weights.files import WeightsFiles

State = dict[str, Tensor]

# Entries under which trainers store the weights, in order of preference.
_ENTRIES = ("state_dict", "model_state_dict", "model", "module", "net", "weights")
# What DataParallel, torch.compile and training modules put before every name.
_PREFIXES = ("module.", "_orig_mod.", "model.", "clip_model.", "clip.")
_HEAD_BYTES = 512
_RESAVE = "where you trust it, read it with torch.load(FILE, weights_only=False) and save its state dict alone"


def read_weights(ref: str, files: WeightsFiles) -> State:
    """The tensors of all files by name, without the prefixes of wrappers. Raises TeacherError."""
    state: State = {}
    for path in files.paths:
        state.update(_read_file(ref, path))
    if not state:
        raise _refused(ref, Path(files.name), "holds no tensors: give the file of the model's weights")
    return _without_prefixes(state)


def _refused(ref: str, path: Path, reason: str) -> TeacherError:
    return TeacherError("teacher_incomplete", f"{path.name} of {ref} {reason}")


def check_archive(ref: str, path: Path) -> None:
    """Raise TeacherError for a file that is not a zip archive, as numpy's `.npz` is."""
    head = _head(ref, path)
    if not head.startswith(b"PK"):
        raise _refused(ref, path, _why_no_weights(head))


def _head(ref: str, path: Path) -> bytes:
    try:
        with path.open("rb") as opened:
            return opened.read(_HEAD_BYTES)
    except OSError as error:
        raise _refused(ref, path, f"cannot be read: {error.strerror or error}") from error


def _read_file(ref: str, path: Path) -> State:
    head = _head(ref, path)
    if len(head) > 8 and head[8:9] == b"{" and not head.startswith(b"PK"):
        return _read_safetensors(ref, path)
    if head.startswith(b"PK\x03\x04"):
        return _read_archive(ref, path)
    if head.startswith(b"\x80"):
        return _tensors_of(ref, path, _unpickle(ref, path, mmap=False))
    raise _refused(ref, path, _why_no_weights(head))


def _why_no_weights(head: bytes) -> str:
    text = head.lstrip().lower()
    if not head:
        return "is empty: copy it again"
    if head.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the file: run `git lfs pull` where it was cloned, and copy it again"
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<")):
        return "is a web page, not a file of weights: download the file itself"
    if head.startswith(b"\x1f\x8b"):
        return "is compressed with gzip: unpack it"
    if not any(head):
        return "holds only zero bytes: the copy is damaged, copy it again"
    return "is no file of weights, or is damaged: give safetensors or what torch.save wrote"


def _read_safetensors(ref: str, path: Path) -> State:
    try:
        with safe_open(path, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise _refused(ref, path, "is damaged or truncated: copy it again") from error


def _read_archive(ref: str, path: Path) -> State:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise _refused(ref, path, "is damaged or truncated: copy it again") from error
    parts = {name.partition("/")[2] for name in names}
    if "constants.pkl" in parts or any(part.startswith("code/") for part in parts):
        raise _refused(
            ref,
            path,
            "is a TorchScript archive, which holds program code: use the tag, such as ViT-B-32:openai, or save its "
            "weights: torch.save(torch.jit.load(FILE).state_dict(), NEW)",
        )
    if "data.pkl" not in parts:
        raise _refused(ref, path, "is a zip archive without weights: unpack it and give the file of weights")
    return _tensors_of(ref, path, _unpickle(ref, path, mmap=True))


def _unpickle(ref: str, path: Path, *, mmap: bool) -> object:
    """`mmap`: leave the states of optimisers on the disk."""
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # the arguments of a training; timm reads them too
            loaded: object = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        if found := re.search(r"GLOBAL ([\w.]+)|class ([\w.]+)", str(error)):
            reason = f"holds a Python object ({found[1] or found[2]}), which could run code and is not read"
            raise _refused(ref, path, f"{reason}: {_RESAVE}") from error
        raise _refused(ref, path, "is damaged: copy it again, or save its weights as safetensors") from error
    except Exception as error:  # torch raises RuntimeError, EOFError, KeyError, ValueError … for damaged files
        raise _refused(ref, path, f"is damaged or truncated ({type(error).__name__}): copy it again") from error
    return loaded


def _tensors_of(ref: str, path: Path, loaded: object) -> State:
    """The state dict in what `torch.load` returned."""
    if not isinstance(loaded, Mapping):
        raise _refused(ref, path, f"holds a {type(loaded).__name__}, not a state dict: save model.state_dict()")
    if state := _as_state(loaded):
        return state
    nested = {str(name): state for name, value in loaded.items() if (state := _as_state(value))}
    chosen = next((entry for entry in _ENTRIES if entry in nested), None)
    if chosen is None and len(nested) == 1:
        chosen = next(iter(nested))
    if chosen is None:
        entries = ", ".join(json.dumps(str(name)) for name in list(loaded)[:8])
        raise _refused(ref, path, f"holds no state dict (its entries: {entries}): save model.state_dict()")
    return nested[chosen]


def _as_state(value: object) -> State:
    """The tensors of a mapping from names to tensors, in which OpenAI's files also have numbers; else empty."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        return {}
    if any(isinstance(entry, Mapping | list | tuple) for entry in value.values()):
        return {}
    return {name: entry for name, entry in value.items() if isinstance(entry, Tensor)}


def _without_prefixes(state: State) -> State:
    while prefix := next((one for one in _PREFIXES if all(name.startswith(one) for name in state)), ""):
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return {name.replace("._orig_mod.", "."): tensor for name, tensor in state.items()}
