"""Weights by name: read them from a file without running code, and tell in one line how they do not fit a model."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from timm.models import clean_state_dict, load_state_dict
from torch import Tensor

from limbeck.shared.text import first_line

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".tar", ".ckpt")
_OF_TORCH = (b"PK", b"\x80")  # a zip archive, or a pickle of releases before 1.6
_LFS, _HTML = b"version https://git-lfs", (b"<!doctype", b"<html")


class WeightsError(ValueError):
    """A file of weights cannot be used; the message names the file, the reason and the fix, in one line."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file or of a file of `torch.save`, on the CPU.

    A training checkpoint may nest them (timm reads `state_dict_ema`, `model_ema`, `state_dict` and `model`, in this
    order), or in one entry of any other name; the prefixes of DistributedDataParallel and torch.compile are removed.
    Pickled code is never run. Raises WeightsError.
    """
    _check_kind(path)
    try:
        state = load_state_dict(str(path))
    except MemoryError:
        raise
    except SafetensorError as error:
        raise WeightsError(f"{path} is damaged or truncated: copy it again ({first_line(error)})") from error
    except Exception as error:  # torch.load and pickle raise any exception for a file that is none of theirs
        if isinstance(error, AttributeError):  # a list or a number in place of a mapping
            raise WeightsError(f"{path} holds no weights by name: save the state dict of the model") from error
        if "weights_only" in str(error):
            raise WeightsError(
                f"{path} holds Python objects besides tensors, which Limbeck does not load: save its state dict alone, "
                "with torch.save(model.state_dict(), …) or safetensors"
            ) from error
        raise WeightsError(f"{path} is damaged, or no file of weights: copy it again ({first_line(error)})") from error
    if not (tensors := _tensors_of(state)):
        entries = ", ".join(map(str, state)) if isinstance(state, Mapping) else type(state).__name__
        raise WeightsError(
            f"{path} holds no weights by name ({entries[:200] or 'nothing'}): save the state dict of the model"
        )
    for name, tensor in tensors.items():
        has_values = tensor.layout == torch.strided and not tensor.is_meta
        if has_values and tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise WeightsError(f"{path} holds values of {name} that are not finite: train or copy the weights again")
    return tensors


def _tensors_of(state: object) -> dict[str, Tensor]:
    """The tensors of a state dict, without numbers beside them, or of the only state dict in it; else empty."""
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        return {}
    if not any(isinstance(value, Mapping | list | tuple) for value in state.values()):
        return {name: value for name, value in state.items() if isinstance(value, Tensor)}
    nested = [found for value in state.values() if (found := _tensors_of(value))]
    return clean_state_dict(nested[0]) if len(nested) == 1 else {}


def _check_kind(path: Path) -> None:
    """Refuse what is not read at all. Raises WeightsError."""
    if not path.is_file():
        raise WeightsError(f"there is no file {path}: correct the path")
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        raise WeightsError(f"{path} is empty: copy it again")
    if start.startswith(_LFS):
        raise WeightsError(f"{path} is a Git LFS pointer, not the weights: run git lfs pull")
    if start.lstrip().lower().startswith(_HTML):
        raise WeightsError(f"{path} is a web page, not weights: download the file itself")
    name = path.name.lower()
    if not name.endswith(SUFFIXES):
        raise WeightsError(f"{path} is no kind of weights that is read: give one of {', '.join(SUFFIXES)}")
    if not name.endswith(".safetensors") and not start.startswith(_OF_TORCH):
        raise WeightsError(f"{path} is damaged, or no file of weights: copy it again")


def without_prefix(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` without the prefix that all of its names have and no `expected` name has, such as `model.`."""
    names = list(state)
    while names and not set(names) & expected.keys():
        prefix, dot, _ = names[0].partition(".")
        if not dot or not all(name.startswith(prefix + dot) for name in names):
            break
        names = [name.removeprefix(prefix + dot) for name in names]
    return dict(zip(names, state.values(), strict=True)) if set(names) & expected.keys() else dict(state)


def not_plain(expected: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    """The first tensor that is quantised, complex, sparse or without values, and the fix; empty if there is none.

    Such tensors are copied into a model as other numbers, or are refused by torch in many lines.
    """
    for name in expected:
        if (tensor := given.get(name)) is None:
            continue
        if tensor.is_meta or tensor.layout != torch.strided:
            return f"tensor {name} is {'without values' if tensor.is_meta else 'sparse'}: give dense weights"
        if expected[name].is_floating_point() and not tensor.is_floating_point():
            return f"tensor {name} is {str(tensor.dtype).removeprefix('torch.')}: give unquantised weights"
    return ""


def misfit(expected: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    """How the tensors `given` differ from those `expected` in names and shapes, in one line; empty if they do not."""
    missing = [name for name in expected if name not in given]
    unexpected = [name for name in given if name not in expected]
    other = [name for name in expected if name in given and expected[name].shape != given[name].shape]
    parts = []
    if missing:
        parts.append(f"{_tensors(missing)} missing (first {missing[0]})")
    if unexpected:
        parts.append(f"{_tensors(unexpected)} unexpected (first {unexpected[0]})")
    if other:
        name = other[0]
        shapes = f"{_shape(given[name])} instead of {_shape(expected[name])}"
        parts.append(f"{_tensors(other)} of another shape (first {name}: {shapes})")
    return ", ".join(parts)


def _tensors(names: list[str]) -> str:
    return f"{len(names)} tensor is" if len(names) == 1 else f"{len(names)} tensors are"


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a number"
