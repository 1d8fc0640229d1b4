"""Where a student comes from before its training: its architecture, and the weights it starts from, if any.

Published weights are timm's, by their tag, or those of a repository of the Hub; own weights are a file, or a folder
with timm's `config.json`, such as `image/` of a bundle. The file is found here, so that it can be named with its
sha256 and its licence; `distill.student.model` loads it through timm. No pickled code is run.
"""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import timm
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from timm.models import PretrainedCfg
from timm.models._hub import _PREFERRED_FILES as WEIGHT_FILES
from timm.models._hub import download_cached_file, load_model_config_from_hf, load_model_config_from_path

from distill.bundle.verify import MANIFEST_FILE, file_sha256
from distill.config.model_names import StudentRef
from distill.json_types import ModelArgs
from limbeck.shared.text import first_line

HUB_FILES = ("model.safetensors", "pytorch_model.bin")
CONFIG_FILE = "config.json"


class StudentError(ValueError):
    """A student cannot be built; the message names the reason."""


@dataclass(frozen=True, kw_only=True)
class WeightsFile:
    """A file of weights. `source`: how it was named. `license`: as published with it, None if unknown."""

    source: str
    path: Path
    sha256: str
    license: str | None


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """What is known of a student before it is built.

    `cfg`: timm's description of the weights: mean, std, input size, names of first and last layer. `cfg_name`: timm's
    name for it, None if it is not timm's own. `model_args`: of a repository or a folder. `published` or `own`: the
    weights to start from.
    """

    architecture: str
    cfg: PretrainedCfg
    cfg_name: str | None = None
    model_args: ModelArgs = field(default_factory=ModelArgs)
    published: WeightsFile | None = None
    own: WeightsFile | None = None


def find_source(ref: StudentRef, *, pretrained: bool, weights: Path | None, shown: str = "") -> ModelSource:
    """The architecture of `ref`, and the published weights if `pretrained`, or the own `weights` if a path is given.

    `shown`: how messages name the path. Raises StudentError.
    """
    source = (
        _of_repository(ref, pretrained=pretrained) if ref.kind == "hf-hub" else _of_timm(ref, pretrained=pretrained)
    )
    if not timm.is_model(source.architecture):
        raise StudentError(
            f"{ref} is a {source.architecture}, which timm {timm.__version__} does not have: choose another student"
        )
    return source if weights is None else _with_own_weights(source, weights, shown or str(weights))


def weights_path(path: str, root: Path | None) -> Path:
    """The file or folder of `student.weights`; below `root`, links included, if there is one. Raises StudentError."""
    own = Path(path).expanduser() if root is None else root / path
    if root is not None and not own.resolve().is_relative_to(root.resolve()):
        raise StudentError(f"student.weights {path} lies outside the data root: give a path below it")
    if not own.exists():
        raise StudentError(f"student.weights {path} does not exist: correct the path")
    return own


def weights_sha256(path: Path) -> str:
    """The sha256 of the weights file that `path` is, or of the one in the folder `path`. Raises StudentError."""
    return file_sha256(_file_of(path, str(path)))


def _of_timm(ref: StudentRef, *, pretrained: bool) -> ModelSource:
    cfg = timm.get_pretrained_cfg(str(ref)) or PretrainedCfg()
    published = None
    if pretrained:
        name = f"{ref.model}.{cfg.tag}" if cfg.tag else ref.model
        with _download_errors(name):
            path = _download(cfg)
        published = WeightsFile(source=f"timm/{name}", path=path, sha256=file_sha256(path), license=cfg.license)
    return ModelSource(architecture=ref.model, cfg=cfg, cfg_name=str(ref), published=published)


def _download(cfg: PretrainedCfg) -> Path:
    """The file of published weights, from the cache if it is there."""
    if cfg.hf_hub_id:
        return _download_from_hub(cfg.hf_hub_id, (cfg.hf_hub_filename,) if cfg.hf_hub_filename else HUB_FILES)
    if cfg.url:
        return Path(download_cached_file(cfg.url))
    raise FileNotFoundError("timm publishes no weights of it")


def _download_from_hub(repository: str, names: tuple[str, ...]) -> Path:
    """The first file of `names` that the repository (`org/name` or `org/name@revision`) has."""
    repo_id, _, revision = repository.partition("@")
    for name in names[:-1]:
        try:
            return Path(hf_hub_download(repo_id, name, revision=revision or None))
        except EntryNotFoundError:  # also if the machine is offline and the file is not in the cache
            continue
    return Path(hf_hub_download(repo_id, names[-1], revision=revision or None))


def _of_repository(ref: StudentRef, *, pretrained: bool) -> ModelSource:
    with _download_errors(str(ref)):
        source = _from_config(str(ref), *load_model_config_from_hf(ref.model))
        if not pretrained:
            return source
        path = _download_from_hub(ref.model, HUB_FILES)
    own = WeightsFile(source=str(ref), path=path, sha256=file_sha256(path), license=source.cfg.license)
    return replace(source, published=own)


@contextmanager
def _download_errors(name: str) -> Iterator[None]:
    """Turns any error of a download into a StudentError of one line."""
    try:
        yield
    except (StudentError, MemoryError):
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, HFValidationError):
            raise StudentError(f"{name} is no name of a repository: {first_line(error)}") from error
        raise _not_of_timm(name, error) from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise StudentError(
            f"the Hub has no {name}, or it is private: correct the name ({first_line(error)})"
        ) from error
    except EntryNotFoundError as error:
        if not isinstance(error, LocalEntryNotFoundError):
            raise StudentError(f"{name} lacks a file that timm needs: {first_line(error)}") from error
        raise _unreachable(name, error) from error
    except Exception as error:  # of the network, of the disk, or of a config that is no JSON
        raise _unreachable(name, error) from error


def _unreachable(name: str, error: Exception) -> StudentError:
    return StudentError(
        f"{name} is not on this machine and cannot be downloaded: check the network and HF_ENDPOINT, or give the "
        f"weights as student.weights ({first_line(error)})"
    )


def _from_config(name: str, cfg: Mapping[str, Any], architecture: str, model_args: ModelArgs) -> ModelSource:
    """A source from the content of timm's `config.json`. Raises StudentError."""
    known = {key: value for key, value in cfg.items() if key not in ("source", "file", "hf_hub_id", "url")}
    try:
        source = ModelSource(architecture=architecture, cfg=PretrainedCfg(**known), model_args=dict(model_args or {}))
    except TypeError as error:
        raise _not_of_timm(name, error) from error
    _check_numbers(name, source.cfg)
    return source


def _check_numbers(name: str, cfg: PretrainedCfg) -> None:
    """Raise StudentError for numbers by which images cannot be resized and normalised."""
    for key, lengths in (("mean", (1, 3)), ("std", (1, 3)), ("input_size", (3,))):
        values = getattr(cfg, key)
        is_numbers = isinstance(values, list | tuple) and all(isinstance(one, int | float) for one in values)
        is_positive = is_numbers and all(math.isfinite(one) and (one > 0 or key == "mean") for one in values)
        if not is_positive or len(values) not in lengths:
            raise StudentError(
                f"the {CONFIG_FILE} of {name} has the {key} {values!r}: give {' or '.join(map(str, lengths))} "
                f"{'numbers' if key == 'mean' else 'positive numbers'}"
            )


def _with_own_weights(source: ModelSource, path: Path, shown: str) -> ModelSource:
    """`source` with the weights of a file or folder; a folder also gives mean, std and arguments."""
    licence = None
    if path.is_dir():
        of_folder = _of_folder(path, shown)
        if of_folder.architecture != source.architecture:
            raise StudentError(
                f"student.weights {shown} holds a {of_folder.architecture}, but the student is a "
                f"{source.architecture}: set student.architecture to {of_folder.architecture}"
            )
        licence = of_folder.cfg.license or _bundle_licence(path)
        source = of_folder
    file = _file_of(path, shown)
    own = WeightsFile(source=shown, path=file, sha256=file_sha256(file), license=licence)
    return replace(source, own=own)


def _of_folder(folder: Path, shown: str) -> ModelSource:
    if not (folder / CONFIG_FILE).is_file():
        raise StudentError(f"student.weights {shown} is a folder without {CONFIG_FILE}: give the file of the weights")
    try:
        return _from_config(shown, *load_model_config_from_path(folder))
    except StudentError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, OSError) as error:
        raise _not_of_timm(shown, error) from error


def _not_of_timm(name: str, error: Exception) -> StudentError:
    reason = f"it lacks {error}" if isinstance(error, KeyError) else first_line(error)
    return StudentError(f"the {CONFIG_FILE} of {name} is not one of timm: {reason}")


def _bundle_licence(folder: Path) -> str | None:
    """The licence of the weights that the student of a bundle started from; `folder`: `image/` of the bundle."""
    try:
        manifest = json.loads((folder.parent / MANIFEST_FILE).read_text(encoding="utf-8"))
        licence = manifest["made_from"]["initial_weights"]["license"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return licence if isinstance(licence, str) else None


def _file_of(path: Path, shown: str) -> Path:
    """The weights file that `path` is or holds. Raises StudentError."""
    if not path.is_dir():
        return path
    found = [path / name for name in WEIGHT_FILES if (path / name).is_file()]
    if not found:
        raise StudentError(f"student.weights {shown} holds none of {', '.join(WEIGHT_FILES[:4])}: give the file itself")
    return found[0]
