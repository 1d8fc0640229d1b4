"""The manifest of a bundle, and checks of files against it. Imports no torch.

    manifest = read_manifest(Path("student"))
    graph = verified_path(Path("student"), "onnx/image.onnx", listed_files(manifest))

The service writes and checks bundles by `distill.bundle`, and the client reads them by `limbeck.classify`.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypedDict

from limbeck.shared.bundle import hub_layout

MANIFEST_FILE = "manifest.json"
MANIFEST_FORMAT = "limbeck bundle 1"


class ManifestFile(TypedDict):
    """A file in a manifest."""

    path: str
    sha256: str
    size: int


class BundleError(ValueError):
    """A bundle that cannot be written or read, or that differs from its manifest; the message names each fault."""


def file_sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal; reads the file in chunks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_format(found: object, known: str, place: str) -> None:
    """Raise BundleError unless the format of a file is `known`, such as `limbeck bundle 1`."""
    if found == known:
        return
    name, _, version = known.rpartition(" ")
    newer = re.fullmatch(rf"{re.escape(name)} (\d+)", found) if isinstance(found, str) else None
    if newer and int(newer[1]) > int(version):
        raise BundleError(f"{place} has the format {found!r}, of a newer release; this one reads {known!r}: update it")
    raise BundleError(f"{place} has the format {found!r}, not {known!r}")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a bundle. Its format and its list of files are checked, its other fields are as in the file.

    Raises BundleError.
    """
    path = folder / MANIFEST_FILE
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BundleError(f"{folder} holds no {MANIFEST_FILE}: it is not a bundle, or is incomplete") from error
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}") from error
    return parse_manifest(content, str(path))


def parse_manifest(content: bytes, place: str) -> dict[str, Any]:
    """The manifest in the content of a file, as `read_manifest` returns it; `place` names the file in errors."""
    try:
        manifest: dict[str, Any] = json.loads(content)
        check_format(manifest["format"], MANIFEST_FORMAT, f"{place}, a manifest,")
        names = [PurePosixPath(entry["path"]) for entry in manifest["files"]]
        _ = [(int(entry["size"]), str(entry["sha256"])) for entry in manifest["files"]]
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"{place} cannot be read as a manifest: {error!r}") from error
    for name, entry in zip(names, manifest["files"], strict=True):
        # A backslash and a colon are part of a name here, and lead out of the folder on another system.
        if name.is_absolute() or not name.parts or ".." in name.parts or set("\\:") & set(entry["path"]):
            raise BundleError(f"{place} names {entry['path']!r}, which is outside the bundle")
    if len(set(names)) < len(names):
        raise BundleError(f"{place} names a file twice")
    return manifest


def listed_files(manifest: Mapping[str, Any]) -> dict[str, ManifestFile]:
    """The files of a manifest, by path."""
    return {entry["path"]: entry for entry in manifest["files"]}


def verified_path(folder: Path, name: str, listed: Mapping[str, ManifestFile]) -> Path:
    """The path of a file of a bundle, which must have the size and sha256 of the manifest. Raises BundleError."""
    path = folder / name
    if name not in listed:
        raise BundleError(f"{path} is not in {MANIFEST_FILE}: download the bundle again")
    try:
        if not path.is_file():
            raise BundleError(f"{path} is missing: download the bundle again")
        size = path.stat().st_size
        if size != listed[name]["size"]:
            raise BundleError(f"{path} has {size} bytes, not {listed[name]['size']}: download the bundle again")
        if file_sha256(path) != listed[name]["sha256"]:
            raise BundleError(f"{path} has a different sha256 than {MANIFEST_FILE}: download the bundle again")
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}") from error
    return path


def verify_files(folder: Path, *, partial: bool = False) -> dict[str, Any]:
    """The manifest of the bundle in `folder`, after checking the size and sha256 of every file.

    `partial`: missing files are no fault. A download from the Hub has further files (`hub_layout`), which are none
    either. Raises BundleError naming every file that is missing, changed, or not in the manifest, and for an
    unreadable manifest.
    """
    manifest = read_manifest(folder)
    listed = listed_files(manifest)
    faults: list[str] = []
    for name, entry in listed.items():
        path = folder / name
        if not path.is_file():
            faults += [] if partial else [f"{name} is missing"]
        elif path.stat().st_size != entry["size"]:
            faults.append(f"{name} has {path.stat().st_size} bytes, not {entry['size']}")
        elif file_sha256(path) != entry["sha256"]:
            faults.append(f"{name} has a different sha256 than the manifest")
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    extra = sorted(present - listed.keys() - {MANIFEST_FILE})
    faults += [f"{name} is not in the manifest" for name in extra if not _is_of_hub(folder, name, listed)]
    if faults:
        raise BundleError(f"{folder}: {'; '.join(faults)}")
    return manifest


def _is_of_hub(folder: Path, name: str, listed: Mapping[str, ManifestFile]) -> bool:
    """Whether this is a file of the Hub's client, or a copy of a file of the bundle in a repository's layout."""
    if hub_layout.is_client_file(name):
        return True
    copied = [listed[path] for path in hub_layout.bundle_paths(name) if path in listed]
    return bool(copied) and file_sha256(folder / name) in [entry["sha256"] for entry in copied]
