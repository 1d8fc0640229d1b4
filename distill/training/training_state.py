"""The state of a run in one file: weights, optimiser, position and what it belongs to; safetensors, no pickle.

The learning rate and every random choice are functions of the position (`distill.training.schedules`,
`distill.data.counter_rng`), so that the position is all there is to save of scheduler and random state. The file
appears whole or not at all, carries a digest of its content, and is refused by name of what differs when it belongs to
another run.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from distill.config.train_config import FREE_FIELDS
from distill.data.atomic_files import replacing
from distill.training.weight_average import Average

FORMAT = "limbeck training state 2"


class StateError(ValueError):
    """A state file that cannot be gone on from; the message says what is wrong with it, or what differs."""


@dataclass
class Position:
    """How far a run is. `step`: optimiser steps done; `seconds`: spent training; `log`: its lines so far."""

    step: int = 0
    seconds: float = 0.0
    log: list[dict[str, Any]] = field(default_factory=list)


def save_state(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    position: Position,
    identity: Mapping[str, Any],
    *,
    average: Average | None = None,
    scaler: torch.amp.GradScaler | None = None,
) -> None:
    """Write the state of a run to `path`, atomically and flushed to disk.

    `identity`: JSON-able, all that another run would differ in. Raises OSError where there is no room; what was at
    `path` is then as it was.
    """
    tensors = {f"model/{name}": _plain(tensor) for name, tensor in model.state_dict().items()}
    for at, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{at}/{name}": _plain(tensor) for name, tensor in values.items()}
    tensors |= {f"average/{name}": _plain(tensor) for name, tensor in (average.tensors if average else {}).items()}
    said = {
        "format": FORMAT,
        "position": json.dumps({"step": position.step, "seconds": position.seconds, "log": position.log}),
        "identity": json.dumps(identity, sort_keys=True),
        "scaler": json.dumps(scaler.state_dict() if scaler else {}),
    }
    said["digest"] = _digest(said, tensors)
    try:
        with replacing(path) as draft:
            save_file(tensors, draft, metadata=said)
    except SafetensorError as error:  # what the writer makes of an error of the disk
        raise OSError(f"{path} could not be written: {error}") from error


def _digest(said: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(json.dumps({name: said[name] for name in sorted(said) if name != "digest"}).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _plain(tensor: Tensor) -> Tensor:
    # A copy: two names may share one tensor, which the format has no word for.
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def load_state(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    identity: Mapping[str, Any],
    *,
    average: Average | None = None,
    scaler: torch.amp.GradScaler | None = None,
) -> Position:
    """Put a saved run back into `model` and the others, where they are, and return its position.

    Raises StateError for a file that is cut short, altered, no state, or another run's; then nothing is changed.
    """
    try:
        with safe_open(path, framework="pt") as opened:
            said = opened.metadata() or {}
            if said.get("format") != FORMAT:
                raise StateError(f"{path} is no training state ({FORMAT!r} is not in its metadata)")
            _refuse_foreign(path, json.loads(said["identity"]), identity)
            position = Position(**json.loads(said["position"]))
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise StateError(f"{path} is cut short or damaged: {error}") from error
    if said.get("digest") != _digest(said, tensors):
        raise StateError(f"{path} is damaged: its content is not what was saved; take an earlier state, or begin anew")
    saved = _under(tensors, "model/")
    current = model.state_dict()
    if {name: t.shape for name, t in saved.items()} != {name: t.shape for name, t in current.items()}:
        raise StateError(f"{path} holds the weights of another model")
    model.load_state_dict(saved)
    _restore_optimizer(optimizer, _under(tensors, "optimizer/"))
    if average is not None:
        average.load(_under(tensors, "average/"))
    if scaler is not None:
        scaler.load_state_dict(json.loads(said["scaler"]))
    return position


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _restore_optimizer(optimizer: torch.optim.Optimizer, saved: Mapping[str, Tensor]) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    optimizer.state.clear()
    for key, tensor in saved.items():
        at, name = key.split("/")
        parameter = parameters[int(at)]
        if name != "step":
            # In the layout of the parameter: kernels differ by layout, and with them the last bit of a sum.
            tensor = torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
        elif optimizer.defaults.get("fused"):
            tensor = tensor.to(parameter.device)
        optimizer.state[parameter][name] = tensor


def _refuse_foreign(path: Path, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    was, now = _flat(theirs), _flat(ours)
    differing = [
        f"{name} was {was.get(name)!r}, is {now.get(name)!r}"
        for name in sorted(was.keys() | now.keys())
        if was.get(name) != now.get(name) and name.rpartition(".")[2] not in FREE_FIELDS
    ]
    if differing:
        more = f" and {len(differing) - 4} more" if len(differing) > 4 else ""
        raise StateError(f"{path} is the state of another run: {'; '.join(differing[:4])}{more}")


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = list(value) if isinstance(value, tuple) else value
    return flat
