"""Training state in one safetensors file (no pickle): weights, optimizer, position, and the identity of the run.

The learning rate and every random choice are functions of the position (`distill.training.schedules`,
`distill.data.counter_rng`), so that no scheduler or random state is saved. The file is written atomically and holds a
digest of its content. A state of another run is refused with the names of the differing settings.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from distill.config.train_config import FREE_FIELDS, TrainConfig
from distill.data.atomic_files import replacing
from distill.json_types import InitialWeightsJSON, JSONObject, JSONValue, LogLine
from distill.training.weight_average import WeightAverage
from limbeck.shared.text import first_line

FORMAT = "limbeck training state 2"
LATER_BUFFERS = ("objective.queue_images",)
"""Buffers that states of earlier releases lack; they keep their initial values."""


class StateError(ValueError):
    """A state file that a run cannot resume from; the message names the damage or the differing settings."""


@dataclass
class TrainingPosition:
    """Progress of a run: `step` optimizer steps done, `seconds` of training, and the lines of the training log.

    `initial`: where the weights of step 0 came from; states of earlier releases do not tell. `train_counts`: those of
    `distill.training.train_accuracy` in this pass.
    """

    step: int = 0
    seconds: float = 0.0
    log: list[LogLine] = field(default_factory=list)
    initial: InitialWeightsJSON = field(default_factory=lambda: InitialWeightsJSON(source="unknown"))
    train_counts: list[list[int]] = field(default_factory=list)


def save_state(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    position: TrainingPosition,
    identity: JSONObject,
    *,
    average: WeightAverage | None = None,
    ema: WeightAverage | None = None,
    scaler: torch.amp.GradScaler | None = None,
) -> None:
    """Write the state of a run to `path`, atomically and flushed to disk.

    `identity`: JSON-serialisable; everything that distinguishes this run from others. Raises OSError, for example for a
    full disk, and then leaves an existing file at `path` unchanged.
    """
    tensors = {f"model/{name}": _cpu_copy(tensor) for name, tensor in model.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{name}": _cpu_copy(tensor) for name, tensor in values.items()}
    tensors |= {f"average/{name}": _cpu_copy(tensor) for name, tensor in (average.tensors if average else {}).items()}
    tensors |= {f"ema/{name}": _cpu_copy(tensor) for name, tensor in (ema.tensors if ema else {}).items()}
    metadata = {
        "format": FORMAT,
        "position": json.dumps(asdict(position)),
        "identity": json.dumps(identity, sort_keys=True),
        "scaler": json.dumps(scaler.state_dict() if scaler else {}),
    }
    metadata["digest"] = _digest(metadata, tensors)
    try:
        with replacing(path) as draft:
            save_file(tensors, draft, metadata=metadata)
    except SafetensorError as error:  # safetensors raises this for an error of the disk
        raise OSError(f"{path} cannot be written: {error}") from error


def _digest(metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(
        json.dumps({name: metadata[name] for name in sorted(metadata) if name != "digest"}).encode()
    )
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _cpu_copy(tensor: Tensor) -> Tensor:
    # A copy, because two names may share one tensor, which safetensors does not support.
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def load_state(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    identity: JSONObject,
    *,
    average: WeightAverage | None = None,
    ema: WeightAverage | None = None,
    scaler: torch.amp.GradScaler | None = None,
) -> TrainingPosition:
    """Load a saved state into `model`, `optimizer`, the averages and `scaler`, on their devices; returns the position.

    Raises StateError for a file that is truncated, altered, no training state, or of another run; then nothing changes.
    """
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise StateError(f"{path} is no training state: its metadata lack the format {FORMAT!r}")
            _check_identity(path, json.loads(metadata["identity"]), identity)
            position = TrainingPosition(**json.loads(metadata["position"]))
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise StateError(f"{path} is truncated or damaged: {first_line(error)}") from error
    if metadata.get("digest") != _digest(metadata, tensors):
        raise StateError(f"{path} is damaged: its digest differs; resume from an earlier state, or start a new run")
    current = model.state_dict()
    saved = {name: current[name] for name in LATER_BUFFERS if name in current} | _with_prefix(tensors, "model/")
    if {name: t.shape for name, t in saved.items()} != {name: t.shape for name, t in current.items()}:
        raise StateError(f"{path} holds the weights of another model: names or shapes differ")
    model.load_state_dict(saved)
    _restore_optimizer(optimizer, _with_prefix(tensors, "optimizer/"))
    if average is not None:
        average.load(_with_prefix(tensors, "average/"))
    if ema is not None:
        ema.load(_with_prefix(tensors, "ema/"))
    if scaler is not None:
        scaler.load_state_dict(json.loads(metadata["scaler"]))
    return position


def saved_settings(path: Path) -> dict[str, JSONValue]:
    """The settings of the run that saved the state, by short name. Raises StateError for a file that is no state."""
    try:
        with safe_open(path, framework="pt") as opened:
            settings: dict[str, JSONValue] = json.loads((opened.metadata() or {})["identity"])["config"]
            return settings
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise StateError(f"{path} is truncated or damaged: {first_line(error)}") from error


def _with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _restore_optimizer(optimizer: torch.optim.Optimizer, saved: Mapping[str, Tensor]) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    optimizer.state.clear()
    for key, tensor in saved.items():
        index, name = key.split("/")
        parameter = parameters[int(index)]
        if name != "step":
            # Use the layout of the parameter: kernels depend on the layout, and so does the last bit of a sum.
            tensor = torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
        elif optimizer.defaults.get("fused"):
            tensor = tensor.to(parameter.device)
        optimizer.state[parameter][name] = tensor


def _check_identity(path: Path, saved: JSONObject, current: JSONObject) -> None:
    """Raise StateError for identities that differ in more than `FREE_FIELDS`.

    A setting that the saved state lacks is newer than it and had its default.
    """
    now, defaults = _flattened(current), _flattened({"config": TrainConfig().flat()})
    was = {name: value for name, value in defaults.items() if name in now} | _flattened(saved)
    differing = [
        f"{name} was {was.get(name)!r}, is {now.get(name)!r}"
        for name in sorted(was.keys() | now.keys())
        if was.get(name) != now.get(name) and name.rpartition(".")[2] not in FREE_FIELDS
    ]
    if differing:
        more = f" and {len(differing) - 4} more" if len(differing) > 4 else ""
        raise StateError(f"{path} is the state of another run: {'; '.join(differing[:4])}{more}")


def _flattened(values: JSONObject, prefix: str = "") -> dict[str, JSONValue]:
    flat: dict[str, JSONValue] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flattened(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = list(value) if isinstance(value, tuple) else value
    return flat
