"""Which files of a folder hold a teacher's weights.

The preference is open_clip's, with sharded weights and the checkpoints of open_clip's training added. What is neither
in this list nor the only candidate is not guessed: the error names the candidates.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from distill.teacher.errors import TeacherError

SUFFIXES = (".safetensors", ".bin", ".pth", ".pt")
INDEX_SUFFIX = ".index.json"
_TRANSFORMERS_NAMES = ("model.safetensors", "pytorch_model.bin")
_OPEN_CLIP_NAMES = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    *_TRANSFORMERS_NAMES,
    "pytorch_model.pth",
    "model.pth",
)
_SHARD = re.compile(r"-\d{5}-of-\d{5}\.")
_EPOCH = re.compile(r"epoch_(\d+)\.pt")
_LATEST_EPOCH = "epoch_latest.pt"
# What trainers write beside weights.
_OTHER_STATE = re.compile(r"(training_args|optimizer|scheduler|scaler|rng_state|random_states|trainer_state)", re.I)


@dataclass(frozen=True)
class WeightsFiles:
    """The weights of a teacher. `paths`: one file, or shards. `name`: the file, or the index of the shards."""

    name: str
    paths: tuple[Path, ...]

    @property
    def num_bytes(self) -> int:
        """Size of all files."""
        return sum(path.stat().st_size for path in self.paths)

    @classmethod
    def of_file(cls, path: Path) -> "WeightsFiles":
        """One file."""
        return cls(path.name, (path,))


def choose_weights(ref: str, folder: Path, *, is_transformers: bool) -> WeightsFiles:
    """The weights in a folder of open_clip or of transformers.

    Order: open_clip's names, then transformers' names, each as one file before shards; then the only file of weights;
    then `epoch_latest.pt` or the highest `epoch_N.pt`. Raises TeacherError without weights, for several candidates and
    for missing shards.
    """
    for name in _TRANSFORMERS_NAMES if is_transformers else _OPEN_CLIP_NAMES:
        if (folder / name).is_file():
            return WeightsFiles.of_file(folder / name)
        if (folder / f"{name}{INDEX_SUFFIX}").is_file():
            return shards_of(ref, folder / f"{name}{INDEX_SUFFIX}")
    candidates = [] if is_transformers else _candidates(folder)
    if not candidates:
        shards = sorted(path.name for path in folder.iterdir() if _SHARD.search(path.name))
        hint = f"copy the {INDEX_SUFFIX} of its shards {shards[0]}, … there" if shards else "copy its weights there"
        name = "model.safetensors" if is_transformers else "open_clip_model.safetensors"
        raise TeacherError(
            "teacher_incomplete", f"{ref} holds a config but no weights: {hint}" + ("" if shards else f" as {name}")
        )
    if len(candidates) == 1:
        return WeightsFiles.of_file(candidates[0])
    return WeightsFiles.of_file(_latest_epoch(ref, candidates))


def _candidates(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix in SUFFIXES
        and path.is_file()
        and not _OTHER_STATE.match(path.name)
        and not _SHARD.search(path.name)
    )


def _latest_epoch(ref: str, candidates: list[Path]) -> Path:
    """open_clip's training overwrites `epoch_latest.pt` after each epoch, so it is the newest where it exists."""
    numbered = {int(match[1]): path for path in candidates if (match := _EPOCH.fullmatch(path.name))}
    latest = next((path for path in candidates if path.name == _LATEST_EPOCH), None)
    if len(numbered) + (latest is not None) < len(candidates):
        names = ", ".join(path.name for path in candidates[:5]) + (", …" if len(candidates) > 5 else "")
        raise TeacherError(
            "teacher_incomplete",
            f"{ref} holds several files of weights ({names}): keep one, or name it open_clip_model.safetensors or "
            f"open_clip_pytorch_model.bin",
        )
    return latest or numbered[max(numbered)]


def shards_of(ref: str, index_file: Path) -> WeightsFiles:
    """The shards that an index names. Raises TeacherError for a damaged index and for missing shards."""
    try:
        names = sorted(set(json.loads(index_file.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TeacherError(
            "teacher_incomplete", f"{index_file.name} of {ref} is damaged: copy it again ({type(error).__name__})"
        ) from error
    if not names or not all(isinstance(name, str) and name == Path(name).name for name in names):
        raise TeacherError("teacher_incomplete", f"{index_file.name} of {ref} names no files beside it: copy it again")
    missing = [name for name in names if not (index_file.parent / name).is_file()]
    if missing:
        raise TeacherError(
            "teacher_incomplete",
            f"{ref} lacks {len(missing)} of {len(names)} shards of its weights, first {missing[0]}: copy them there",
        )
    return WeightsFiles(index_file.name, tuple(index_file.parent / name for name in names))
