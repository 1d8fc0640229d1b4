"""Where a teacher's config, weights and tokenizer are: a tag of open_clip, a file, a folder or a Hub repository.

A folder or repository is in open_clip's layout (`open_clip_config.json`) or in that of transformers (`config.json` of a
CLIP or SigLIP); with both, open_clip's is used. Files are only located and downloaded here.
"""

import copy
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import open_clip
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from open_clip.pretrained import get_pretrained_cfg

from distill.config.model_names import TeacherRef
from distill.json_types import ModelConfig
from distill.teacher.errors import TeacherError
from distill.teacher.tokenizer import FILES as TOKENIZER_FILES
from distill.teacher.transformers_config import CONFIG_FILE, PREPROCESS_FILES, Kind, read_transformers_config
from distill.teacher.weights.files import INDEX_SUFFIX, SUFFIXES, WeightsFiles, choose_weights, shards_of

OPEN_CLIP_CONFIG = "open_clip_config.json"
_HUB_WEIGHTS = {
    OPEN_CLIP_CONFIG: ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
    CONFIG_FILE: ("model.safetensors", "pytorch_model.bin"),
}
_PREPROCESS_FIELDS = ("mean", "std", "interpolation", "resize_mode", "fill_color")


@dataclass(frozen=True, kw_only=True)
class TeacherSource:
    """What a teacher is built from.

    `preprocess`: what differs from open_clip's preprocessing. `folder`: of its tokenizer and of the config of its text
    tower; None if the config names them on the Hub. `kind`: of a model of transformers, to be converted. `notes`: what
    the user should know about the choice.
    """

    model_cfg: ModelConfig
    preprocess: Mapping[str, Any]
    weights: WeightsFiles
    folder: Path | None = None
    kind: Kind | None = None
    pad_token_id: int | None = None
    notes: tuple[str, ...] = ()


def find_teacher(parsed: TeacherRef, root: Path | None) -> TeacherSource:
    """The source of a teacher; downloads what is not on this machine.

    With a `root`, a path is relative to it (see `distill.teacher.held_files`). Raises TeacherError, and the errors of
    the Hub's client.
    """
    if parsed.kind == "open_clip":
        return _tagged(parsed)
    if parsed.kind == "hf-hub":
        return _from_hub(str(parsed), parsed.model)
    path = Path(parsed.path or "").expanduser() if root is None else root / (parsed.path or "")
    if parsed.kind == "weights-file":
        return _with_weights_file(parsed, path)
    folder = _teacher_folder(str(parsed), path)
    return _in_folder(str(parsed), folder, weights=None, has_tokenizer=True)


def _tagged(parsed: TeacherRef) -> TeacherSource:
    """open_clip only warns when a tag was trained with QuickGELU and the config of its name says otherwise."""
    model_cfg = copy.deepcopy(open_clip.get_model_config(parsed.model))
    tag = get_pretrained_cfg(parsed.model, parsed.pretrained)
    if tag.get("quick_gelu", False):
        model_cfg["quick_gelu"] = True
    path = open_clip.download_pretrained(tag)
    return TeacherSource(
        model_cfg=model_cfg, preprocess=_preprocess_fields(tag), weights=WeightsFiles.of_file(Path(path))
    )


def _with_weights_file(parsed: TeacherRef, path: Path) -> TeacherSource:
    if path.is_dir():
        names = sorted(one.name for one in path.iterdir() if one.suffix in SUFFIXES)
        hint = f", such as {path.name}/{names[-1]}" if names else ""
        raise TeacherError("teacher_not_found", f"{parsed} names a folder: name a file of weights in it{hint}")
    if not path.is_file():
        raise TeacherError("teacher_not_found", f"{parsed} is not a file: put the weights there, or correct the path")
    model_cfg = copy.deepcopy(open_clip.get_model_config(parsed.model))
    preprocess, notes = _usual_preprocess(parsed.model)
    return TeacherSource(
        model_cfg=model_cfg, preprocess=preprocess, weights=WeightsFiles.of_file(path), notes=tuple(notes)
    )


def _usual_preprocess(model: str) -> tuple[dict[str, Any], list[str]]:
    """The preprocessing that all tags of a model share; without tags, and where they differ, open_clip's own."""
    every = [
        _preprocess_fields(get_pretrained_cfg(model, tag)) for tag in open_clip.list_pretrained_tags_by_model(model)
    ]
    if not every:
        return {}, []
    if all(one == every[0] for one in every):
        return every[0], []
    return {}, [f"the tags of {model} differ in their preprocessing: mean, std and resizing are those of OpenAI's CLIP"]


def _preprocess_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in _PREPROCESS_FIELDS if given.get(name) is not None}


def _teacher_folder(ref: str, folder: Path) -> Path:
    if folder.is_file():
        raise TeacherError(
            "teacher_not_found", f"{ref} is a file: give its folder, or MODEL:PATH, as in ViT-B-32:{folder.name}"
        )
    if not folder.is_dir():
        raise TeacherError("teacher_not_found", f"{ref} is not a folder: put the teacher there, or correct the path")
    if not any((folder / name).is_file() for name in (OPEN_CLIP_CONFIG, CONFIG_FILE)):
        epochs = sorted(path.name for path in folder.glob("epoch_*.pt"))
        hint = f", or name the model and a file, as in ViT-B-32:{folder.name}/{epochs[-1]}" if epochs else ""
        raise TeacherError(
            "teacher_incomplete",
            f"{ref} holds no {OPEN_CLIP_CONFIG} (and no {CONFIG_FILE} of a CLIP or SigLIP): copy it next to the weights"
            f"{hint}",
        )
    return folder


def _in_folder(ref: str, folder: Path, *, weights: WeightsFiles | None, has_tokenizer: bool) -> TeacherSource:
    """A folder with a config. `has_tokenizer`: whether the files of a tokenizer named by the config lie there."""
    if not (folder / OPEN_CLIP_CONFIG).is_file():
        config = read_transformers_config(ref, folder)
        return TeacherSource(
            model_cfg=_as_model_config(config.model_cfg),
            preprocess=config.preprocess_cfg,
            weights=weights or choose_weights(ref, folder, is_transformers=True),
            folder=folder,
            kind=config.kind,
            pad_token_id=config.pad_token_id,
        )
    config_file = json.loads((folder / OPEN_CLIP_CONFIG).read_text(encoding="utf-8"))
    if not isinstance(config_file, dict):
        raise TeacherError("teacher_incomplete", f"{OPEN_CLIP_CONFIG} of {ref} is not an object: copy it again")
    return TeacherSource(
        model_cfg=config_file.get("model_cfg", config_file),
        preprocess=_preprocess_fields(config_file.get("preprocess_cfg") or {}),
        weights=weights or choose_weights(ref, folder, is_transformers=False),
        folder=folder if has_tokenizer else None,
    )


def _as_model_config(model_cfg: Mapping[str, Any]) -> ModelConfig:
    return cast(ModelConfig, model_cfg)


def _from_hub(ref: str, repository: str) -> TeacherSource:
    """Download a repository's config, weights and, for transformers' layout, tokenizer."""
    config = _download_first(repository, (OPEN_CLIP_CONFIG, CONFIG_FILE))
    if config.name == CONFIG_FILE:
        for name in (*PREPROCESS_FILES, *TOKENIZER_FILES):
            with suppress(EntryNotFoundError):
                hf_hub_download(repository, name)
    weights = _download_weights(ref, repository, _HUB_WEIGHTS[config.name])
    return _in_folder(ref, config.parent, weights=weights, has_tokenizer=config.name == CONFIG_FILE)


def _download_weights(ref: str, repository: str, names: Sequence[str]) -> WeightsFiles:
    found = _download_first(repository, [one for name in names for one in (name, f"{name}{INDEX_SUFFIX}")])
    if not found.name.endswith(INDEX_SUFFIX):
        return WeightsFiles.of_file(found)
    for shard in sorted(set(json.loads(found.read_text(encoding="utf-8"))["weight_map"].values())):
        hf_hub_download(repository, shard)
    return shards_of(ref, found)


def _download_first(repository: str, names: Sequence[str]) -> Path:
    """The first of these files that a repository has. Raises EntryNotFoundError, of the first, if it has none."""
    first_error: EntryNotFoundError | None = None
    for name in names:
        is_offline = isinstance(first_error, LocalEntryNotFoundError)  # the client has tried to reach the Hub for long
        try:
            return Path(hf_hub_download(repository, name, local_files_only=is_offline))
        except EntryNotFoundError as error:
            first_error = first_error or error
    assert first_error is not None
    raise first_error
